// Times one product of ggml with quantised weights: rows for `cargo run --release -p easel-cpu --example bench -- --only
// quantised`, which prints the same products of Easel.
//
//     pip download --no-binary :all: --no-deps stable-diffusion-cpp-python
//     tar xzf stable_diffusion_cpp_python-*.tar.gz
//     GGML=$(echo stable_diffusion_cpp_python-*/vendor/stable-diffusion.cpp/ggml)
//     cmake -S $GGML -B ggml-build -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON -DBUILD_SHARED_LIBS=OFF -DGGML_OPENMP=OFF
//     cmake --build ggml-build -j2 --target ggml-cpu ggml-base
//     g++ -O2 -I $GGML/include benches/stable-diffusion.cpp/mul_mat.cpp -o mul_mat \
//         ggml-build/src/libggml-cpu.a ggml-build/src/libggml-base.a -lm -lpthread
//     ./mul_mat THREADS RUNS [ROWS COLUMNS K]
//
// The least of RUNS times counts, on both sides.

#include "ggml-backend.h"
#include "ggml-cpu.h"
#include "ggml.h"

#include <stdio.h>
#include <stdlib.h>
#include <vector>

static void measure(ggml_backend_t backend, ggml_type type, int64_t m, int64_t n, int64_t k, int runs) {
    ggml_init_params params = {16 << 20, nullptr, true};
    ggml_context *context = ggml_init(params);
    ggml_tensor *weight = ggml_new_tensor_2d(context, type, k, n);
    ggml_tensor *input = ggml_new_tensor_2d(context, GGML_TYPE_F32, k, m);
    ggml_tensor *output = ggml_mul_mat(context, weight, input);
    ggml_cgraph *graph = ggml_new_graph(context);
    ggml_build_forward_expand(graph, output);
    ggml_backend_buffer_t buffer = ggml_backend_alloc_ctx_tensors(context, backend);

    std::vector<float> floats((m > n ? m : n) * k);
    unsigned state = 1;
    for (float &x : floats) {
        state = state * 1664525u + 1013904223u;
        x = (float)(state >> 8) / (1 << 23) - 1.0f;
    }
    ggml_backend_tensor_set(input, floats.data(), 0, m * k * sizeof(float));
    std::vector<char> bytes(ggml_nbytes(weight));
    if (type == GGML_TYPE_F32) {
        ggml_backend_tensor_set(weight, floats.data(), 0, bytes.size());
    } else {
        ggml_quantize_chunk(type, floats.data(), bytes.data(), 0, n, k, nullptr);
        ggml_backend_tensor_set(weight, bytes.data(), 0, bytes.size());
    }

    ggml_backend_graph_compute(backend, graph);
    double best = 1e30;
    for (int run = 0; run < runs; run++) {
        const int64_t start = ggml_time_us();
        ggml_backend_graph_compute(backend, graph);
        const double ms = (ggml_time_us() - start) / 1e3;
        best = ms < best ? ms : best;
    }
    printf("{\"name\": \"ggml %s %dx%dx%d\", \"min_ms\": %.3f, \"gflops\": %.1f}\n", ggml_type_name(type), (int)m, (int)n,
           (int)k, best, 2.0 * m * n * k / best / 1e6);
    fflush(stdout);
    ggml_backend_buffer_free(buffer);
    ggml_free(context);
}

int main(int count, char **arguments) {
    const int threads = count > 1 ? atoi(arguments[1]) : 1;
    const int runs = count > 2 ? atoi(arguments[2]) : 3;
    const int64_t m = count > 5 ? atoll(arguments[3]) : 1024;
    const int64_t n = count > 5 ? atoll(arguments[4]) : 3072;
    const int64_t k = count > 5 ? atoll(arguments[5]) : 3072;
    ggml_time_init();
    ggml_backend_t backend = ggml_backend_cpu_init();
    ggml_backend_cpu_set_n_threads(backend, threads);
    const ggml_type types[] = {GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_Q4_0, GGML_TYPE_Q8_0, GGML_TYPE_Q4_K, GGML_TYPE_Q6_K};
    for (ggml_type type : types) {
        measure(backend, type, m, n, k, runs);
    }
    ggml_backend_free(backend);
    return 0;
}
