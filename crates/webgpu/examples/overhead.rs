//! Measures the overhead of the runtime on this machine: recorded and replayed dispatches, uploads and readbacks.
//!
//!     cargo run --release -p easel-webgpu --example overhead [ADAPTER]

#[cfg(not(target_arch = "wasm32"))]
fn main() -> easel_webgpu::Result<()> {
    pollster::block_on(native::run(std::env::args().nth(1)))
}

#[cfg(target_arch = "wasm32")]
fn main() {}

#[cfg(not(target_arch = "wasm32"))]
mod native {
    use std::time::Instant;

    use easel_webgpu::shader::Kernel;
    use easel_webgpu::{Buffer, Choice, Context, Dispatch, Options, Result};

    /// Approximately the number of dispatches in a UNet step.
    const DISPATCHES: u32 = 1000;
    const BYTES: usize = 256 << 20;
    const RUNS: u32 = 5;

    pub(crate) async fn run(adapter: Option<String>) -> Result<()> {
        let options = Options { adapter: adapter.map_or(Choice::Best, Choice::Name), ..Options::default() };
        let context = Context::open(&options).await?;
        println!("{}", context.capabilities().adapter.name);
        let x = context.upload(&[0; 4096])?;
        let y = context.upload(&[0; 4096])?;
        let record = || (0..DISPATCHES).try_for_each(|_| add(&context, &x, &y));
        record()?;
        context.finish().await?;

        let mut recorded = Best::new();
        let mut replayed = Best::new();
        let (plan, ()) = context.capture(record)?;
        for _ in 0..RUNS {
            let start = Instant::now();
            record()?;
            recorded.host(start);
            context.finish().await?;
            recorded.all(start);

            let start = Instant::now();
            plan.replay()?;
            replayed.host(start);
            context.finish().await?;
            replayed.all(start);
        }
        recorded.print("recorded dispatch");
        replayed.print("replayed dispatch");

        let content = vec![1; BYTES];
        let weights = context.resident(BYTES as u64)?;
        rate("streaming", || {
            pollster::block_on(async {
                context.stream(&weights, 0, &content).await?;
                context.finish().await
            })
        })?;
        rate("reading", || pollster::block_on(context.read(&weights, ..)).map(|_| ()))?;
        println!("{:?}", context.stats());
        Ok(())
    }

    /// A single workgroup with almost no work.
    fn add(context: &Context, x: &Buffer, y: &Buffer) -> Result<()> {
        let kernel = Kernel {
            name: "add",
            source: "
@group(0) @binding(0) var<uniform> count: u32;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(64)
fn add(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < count {
        y[id.x] += x[id.x];
    }
}",
            constants: Vec::new(),
        };
        let uniforms = &64_u32.to_le_bytes();
        let inputs = &[x][..];
        let outputs = &[y][..];
        context.dispatch(Dispatch { kernel: &kernel, inputs, outputs, uniforms, workgroups: [1, 1, 1], work: 64 })
    }

    /// The fastest run, in seconds: until the host has finished, and until the device has.
    struct Best(f64, f64);

    impl Best {
        fn new() -> Self {
            Self(f64::INFINITY, f64::INFINITY)
        }

        fn host(&mut self, start: Instant) {
            self.0 = self.0.min(start.elapsed().as_secs_f64());
        }

        fn all(&mut self, start: Instant) {
            self.1 = self.1.min(start.elapsed().as_secs_f64());
        }

        fn print(&self, what: &str) {
            let each = |seconds: f64| seconds * 1e6 / f64::from(DISPATCHES);
            println!("{what}: {:.2} us on the host, {:.2} us in all", each(self.0), each(self.1));
        }
    }

    fn rate(what: &str, mut run: impl FnMut() -> Result<()>) -> Result<()> {
        run()?;
        let start = Instant::now();
        run()?;
        println!("{what}: {:.2} GB/s", BYTES as f64 / start.elapsed().as_secs_f64() / 1e9);
        Ok(())
    }
}
