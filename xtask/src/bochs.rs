//! AVX-512 in Bochs (<https://bochs.sourceforge.io>): Linux and the tests of `easel-cpu` on a CD.
//!
//! The processor is a Skylake-X. Bochs also executes the dot products of later processors but does not report them in
//! CPUID, so the tests are compiled to assume them.

use crate::command::{Run, root};
use crate::levels::programs;
use anyhow::{Context, Result, ensure};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

const TARGET: &str = "x86_64-unknown-linux-musl";
/// Bochs 3.0 does not scale the short offset of VDPBF16PS' memory operand; only the kernel for single rows has one.
const BROKEN: &str = "single_rows_in_bfloat16";
/// The end of the guest's console output if all tests have passed.
const PASSED: &str = "all levels passed";

/// The files that the machine boots from.
struct Parts {
    kernel: PathBuf,
    busybox: PathBuf,
    isolinux: PathBuf,
    ldlinux: PathBuf,
    bios: PathBuf,
}

impl Parts {
    fn find() -> Result<Self> {
        Ok(Self {
            kernel: part(
                "EASEL_KERNEL",
                "/boot/vmlinuz",
                "a Linux kernel with a serial console and initial RAM disks",
            )?,
            busybox: part("EASEL_BUSYBOX", "/bin/busybox", "a statically linked BusyBox")?,
            isolinux: part("EASEL_ISOLINUX", "/usr/lib/ISOLINUX/isolinux.bin", "the boot loader ISOLINUX")?,
            ldlinux: part("EASEL_LDLINUX", "/usr/lib/syslinux/modules/bios/ldlinux.c32", "a module of ISOLINUX")?,
            bios: part("EASEL_BIOS", "/usr/share/bochs", "the folder of Bochs' BIOS images")?,
        })
    }
}

/// A file at the path in the variable, or else at Debian's default path.
fn part(variable: &str, default: &str, what: &str) -> Result<PathBuf> {
    let path = std::env::var_os(variable).map_or_else(|| default.into(), PathBuf::from);
    ensure!(path.exists(), "{} was not found: {what}; set {variable} to its path", path.display());
    Ok(path)
}

/// Boots the tests and prints their output.
pub(crate) fn avx512() -> Result<()> {
    let bochs = std::env::var("EASEL_BOCHS").unwrap_or_else(|_| "bochs".into());
    for (program, flag) in [(bochs.as_str(), "--help"), ("xorriso", "--version"), ("cpio", "--version")] {
        ensure!(Run::new(program).arg(flag).succeeds(), "{program} was not found");
    }
    let parts = Parts::find()?;
    let folder = root().join("target/levels/bochs");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let disk = folder.join("disk");
    fs::create_dir_all(disk.join("isolinux"))?;
    pack_guest(&folder.join("guest"), &parts.busybox, &disk.join("initrd.gz"))?;
    write_disk(&disk, &parts, &folder.join("disk.iso"))?;
    fs::write(folder.join("bochsrc"), machine(&folder, &parts.bios))?;
    let console = folder.join("console");
    eprintln!("this takes a quarter of an hour; the tests' output is in {}", console.display());
    // Bochs fails when the guest powers off, so the console is checked instead.
    let _ = Run::new(&bochs).args(["-q", "-f"]).arg(folder.join("bochsrc")).run();
    let console = fs::read(console).context("Bochs wrote no console output")?;
    let console = String::from_utf8_lossy(&console);
    println!("{console}");
    ensure!(console.contains(PASSED), "the tests did not pass in Bochs ({})", folder.display());
    Ok(())
}

/// Packs an initial RAM disk with the tests and a script that runs them.
fn pack_guest(guest: &Path, busybox: &Path, packed: &Path) -> Result<()> {
    for folder in ["bin", "proc", "dev"] {
        fs::create_dir_all(guest.join(folder))?;
    }
    fs::copy(busybox, guest.join("bin/busybox"))?;
    let mut script = String::from(START);
    for (i, program) in programs(TARGET, "+avx512bf16,+avx512vnni")?.iter().enumerate() {
        fs::copy(program, guest.join(format!("tests{i}")))?;
        writeln!(script, "/tests{i} --skip {BROKEN} || stop")?;
    }
    writeln!(script, "echo {PASSED}\nstop")?;
    let init = guest.join("init");
    fs::write(&init, &script)?;
    Run::new("chmod").arg("755").arg(init).run()?;
    let guest = guest.display();
    let packed = packed.display();
    let pack = format!("cd '{guest}' && find . | cpio --quiet -o -H newc | gzip -1 > '{packed}'");
    Run::new("sh").args(["-c", &pack]).run()
}

/// Writes a CD that boots the kernel with the RAM disk in `disk`.
fn write_disk(disk: &Path, parts: &Parts, image: &Path) -> Result<()> {
    fs::copy(&parts.kernel, disk.join("vmlinuz"))?;
    fs::copy(&parts.isolinux, disk.join("isolinux/isolinux.bin"))?;
    fs::copy(&parts.ldlinux, disk.join("isolinux/ldlinux.c32"))?;
    fs::write(disk.join("isolinux/isolinux.cfg"), BOOT)?;
    let boot = ["-b", "isolinux/isolinux.bin", "-c", "isolinux/boot.cat", "-no-emul-boot", "-boot-load-size", "4"];
    let make = Run::new("xorriso").args(["-as", "mkisofs", "-quiet", "-o"]).arg(image).args(boot);
    make.arg("-boot-info-table").arg(disk).run()
}

/// The start of the guest's script. Its clock counts instructions, so times in the console are meaningless.
const START: &str = "\
#!/bin/busybox sh
export PATH=/bin RUST_TEST_THREADS=1 RAYON_NUM_THREADS=2 EASEL_LEVELS=Avx512,Avx512Vnni,Avx512Dot
busybox mount -t proc proc /proc
busybox mount -t devtmpfs dev /dev
stop() { busybox sleep 2; busybox poweroff -f; }
";

const BOOT: &str = "\
default tests
label tests
  kernel /vmlinuz
  append initrd=/initrd.gz console=ttyS0,115200 nokaslr mitigations=off tsc=reliable quiet panic=-1 rdinit=/init
";

fn machine(folder: &Path, bios: &Path) -> String {
    let folder = folder.display();
    let bios = bios.display();
    format!(
        "config_interface: textconfig
display_library: rfb, options=\"timeout=0\"
cpu: model=corei7_skylake_x, add_features=\"avx512vnni avx512bf16\", ips=100000000, reset_on_triple_fault=0, ignore_bad_msrs=1
memory: guest=1024, host=1024
romimage: file={bios}/BIOS-bochs-latest, options=fastboot
vgaromimage: file={bios}/VGABIOS-lgpl-latest
pci: enabled=1, chipset=i440fx
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path={folder}/disk.iso, status=inserted
boot: cdrom
clock: sync=none
log: {folder}/log
panic: action=fatal
com1: enabled=1, mode=file, dev={folder}/console
"
    )
}
