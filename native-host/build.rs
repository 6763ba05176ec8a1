//! Compiles the gRPC definitions in `proto` to Rust, for the feature `grpc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "grpc")]
    compile()?;
    Ok(())
}

#[cfg(feature = "grpc")]
fn compile() -> Result<(), Box<dyn std::error::Error>> {
    const FOLDER: &str = "proto";
    println!("cargo::rerun-if-changed={FOLDER}");
    let mut compiler = protox::Compiler::new([FOLDER])?;
    compiler.include_imports(true).open_files(["computervisionservice.proto", "infoservice.proto"])?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;
    let builder = tonic_prost_build::configure().build_transport(false).emit_rerun_if_changed(false);
    Ok(builder.include_file("protos.rs").compile_fds(compiler.file_descriptor_set())?)
}
