//! Writes files like `torch.save`: a ZIP archive of stored files with a pickle and one file for each tensor.

use crate::original::{Stored, Tensors};
use anyhow::{Result, bail};
use safetensors::Dtype;

/// PyTorch's alignment of file contents.
const ALIGNMENT: usize = 64;

/// The archive of `{"global_step": 470000, "state_dict": tensors}`.
pub fn archive(tensors: &Tensors) -> Result<Vec<u8>> {
    let mut zip = Zip::default();
    zip.add("archive/data.pkl", &pickle(tensors)?);
    zip.add("archive/byteorder", b"little");
    for (key, stored) in tensors.values().enumerate() {
        zip.add(&format!("archive/data/{key}"), &stored.bytes);
    }
    zip.add("archive/version", b"3\n");
    Ok(zip.finish())
}

fn pickle(tensors: &Tensors) -> Result<Vec<u8>> {
    let mut bytes = b"\x80\x02}(".to_vec();
    text(&mut bytes, "global_step");
    integer(&mut bytes, 470_000);
    text(&mut bytes, "state_dict");
    bytes.extend(b"ccollections\nOrderedDict\n)R(");
    for (key, (name, stored)) in tensors.iter().enumerate() {
        text(&mut bytes, name);
        tensor(&mut bytes, key, stored)?;
    }
    bytes.extend(b"uu.");
    Ok(bytes)
}

fn tensor(bytes: &mut Vec<u8>, key: usize, stored: &Stored) -> Result<()> {
    let storage = match stored.dtype {
        Dtype::F32 => "FloatStorage",
        Dtype::F16 => "HalfStorage",
        Dtype::BF16 => "BFloat16Storage",
        Dtype::I64 => "LongStorage",
        other => bail!("{other:?} is not supported"),
    };
    bytes.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
    text(bytes, "storage");
    bytes.extend(format!("ctorch\n{storage}\n").as_bytes());
    text(bytes, &key.to_string());
    text(bytes, "cpu");
    integer(bytes, stored.shape.iter().product());
    bytes.extend(b"tQ");
    integer(bytes, 0);
    let strides: Vec<usize> = (1..=stored.shape.len()).map(|axis| stored.shape[axis..].iter().product()).collect();
    for sizes in [&stored.shape, &strides] {
        bytes.push(b'(');
        sizes.iter().for_each(|size| integer(bytes, *size));
        bytes.push(b't');
    }
    bytes.extend(b"\x89ccollections\nOrderedDict\n)RtR");
    Ok(())
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    bytes.push(b'X');
    bytes.extend((text.len() as u32).to_le_bytes());
    bytes.extend(text.as_bytes());
}

fn integer(bytes: &mut Vec<u8>, number: usize) {
    bytes.push(b'J');
    bytes.extend((number as u32).to_le_bytes());
}

#[derive(Default)]
struct Zip {
    bytes: Vec<u8>,
    directory: Vec<u8>,
    count: u16,
}

impl Zip {
    fn add(&mut self, name: &str, content: &[u8]) {
        let header = self.bytes.len();
        let end = header + 30 + name.len() + 4;
        let padding = (ALIGNMENT - end % ALIGNMENT) % ALIGNMENT;
        // Method, time and date are 0; then follow checksum and both sizes.
        let sizes = [crc32(content), content.len() as u32, content.len() as u32].map(u32::to_le_bytes).concat();
        let common = [&[0; 8][..], &sizes, &(name.len() as u16).to_le_bytes()].concat();
        let extra = [&b"FB"[..], &(padding as u16).to_le_bytes(), &vec![b'Z'; padding]].concat();
        self.bytes.extend([&b"PK\x03\x04\x0a\0"[..], &common, &(extra.len() as u16).to_le_bytes()].concat());
        self.bytes.extend([name.as_bytes(), &extra, content].concat());
        self.directory.extend([&b"PK\x01\x02\x0a\0\x0a\0"[..], &common, &[0; 12]].concat());
        self.directory.extend([&(header as u32).to_le_bytes(), name.as_bytes()].concat());
        self.count += 1;
    }

    fn finish(mut self) -> Vec<u8> {
        let start = self.bytes.len() as u32;
        self.bytes.extend(&self.directory);
        let count = self.count.to_le_bytes();
        self.bytes.extend([&b"PK\x05\x06\0\0\0\0"[..], &count, &count].concat());
        self.bytes.extend([self.directory.len() as u32, start].map(u32::to_le_bytes).concat());
        self.bytes.extend([0, 0]);
        self.bytes
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    };
    !bytes.iter().fold(u32::MAX, step)
}
