//! The destination of pictures: names that overwrite nothing, checks before the work starts, and files that are written
//! completely or not at all.

use crate::args::{Format, OutputArgs};
use crate::exit::Usage;
use anyhow::{Context, Result, bail};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

/// The destination of one run's pictures.
#[derive(Debug)]
pub(crate) struct Output {
    place: Place,
    format: Format,
    force: bool,
    count: usize,
}

#[derive(Debug)]
enum Place {
    Stdout,
    /// This file; several pictures get numbers.
    File(PathBuf),
    /// A file in this folder (empty for the working folder), named after the prompt and the seed.
    Folder(PathBuf, String),
}

impl Output {
    /// Decides where to write `count` pictures of `prompt`, and checks that this is possible, without writing anything.
    /// If there is neither a format nor an extension, the format is `default`.
    pub(crate) fn plan(args: &OutputArgs, prompt: &str, count: usize, default: Format) -> Result<Self> {
        let place = match args.output.as_deref() {
            None => Place::Folder(PathBuf::new(), slug(prompt)),
            Some(path) if path == Path::new("-") => Place::Stdout,
            Some(path) if path.is_dir() => Place::Folder(path.to_owned(), slug(prompt)),
            Some(path) => Place::File(path.to_owned()),
        };
        let by_name = match &place {
            Place::File(path) => format_of(path, args.format)?,
            _ => args.format,
        };
        let format = by_name.unwrap_or(default);
        if args.quality.is_some() && format != Format::Jpeg {
            bail!(Usage(format!("--quality is for jpeg, the format is {}", format.name())));
        }
        let output = Self { place, format, force: args.force, count };
        output.check(args)?;
        Ok(output)
    }

    /// The format of the files.
    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// The path of previews, next to the picture; `None` for standard output.
    pub(crate) fn preview_path(&self) -> Option<PathBuf> {
        let picture = match &self.place {
            Place::Stdout => return None,
            Place::File(path) => path.clone(),
            Place::Folder(folder, stem) => folder.join(stem),
        };
        Some(with_suffix(&picture, ".preview.png"))
    }

    /// Writes picture `index`, completely or not at all. Returns the path, unless it was written to standard output.
    pub(crate) fn write(&self, index: usize, seed: u64, bytes: &[u8]) -> Result<Option<PathBuf>> {
        match &self.place {
            Place::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(bytes).and_then(|()| out.flush())?;
                Ok(None)
            }
            Place::File(_) => {
                let path = self.numbered(index);
                write_whole(&path, bytes, self.force)?;
                Ok(Some(path))
            }
            Place::Folder(folder, stem) => self.write_unused(folder, &format!("{stem}-{seed}"), bytes).map(Some),
        }
    }

    /// Writes to `stem.png`, or if that exists `stem-1.png`, `stem-2.png` and so on.
    fn write_unused(&self, folder: &Path, stem: &str, bytes: &[u8]) -> Result<PathBuf> {
        let extension = self.format.extension();
        for attempt in 0_u32.. {
            let suffix = if attempt == 0 { String::new() } else { format!("-{attempt}") };
            let path = folder.join(format!("{stem}{suffix}.{extension}"));
            match write_whole(&path, bytes, false) {
                Err(error) if error.downcast_ref::<Exists>().is_some() => {}
                result => return result.map(|()| path),
            }
        }
        bail!("{}: every name is taken", folder.join(stem).display())
    }

    /// `name.png`, or `name-1.png` and so on when there are several pictures.
    fn numbered(&self, index: usize) -> PathBuf {
        let Place::File(path) = &self.place else { return PathBuf::new() };
        if self.count == 1 {
            return path.clone();
        }
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let extension = path.extension().map(|e| format!(".{}", e.to_string_lossy())).unwrap_or_default();
        path.with_file_name(format!("{stem}-{}{extension}", index + 1))
    }

    fn check(&self, args: &OutputArgs) -> Result<()> {
        match &self.place {
            Place::Stdout if self.count > 1 => bail!(Usage("several pictures cannot go to standard output".into())),
            Place::Stdout if args.json => bail!(Usage("--json and -o - both use standard output: name a file".into())),
            Place::Stdout if args.preview => {
                bail!(Usage("--preview needs a picture file: the preview is written next to it".into()))
            }
            Place::Stdout if io::stdout().is_terminal() => {
                bail!(Usage("standard output is a terminal: redirect it, or name a file".into()))
            }
            Place::Stdout => Ok(()),
            Place::Folder(folder, _) => check_folder(folder),
            Place::File(path) if is_device(path) => Ok(()),
            Place::File(path) => {
                check_folder(path.parent().unwrap_or(Path::new("")))?;
                (0..self.count).map(|index| self.numbered(index)).try_for_each(|path| self.check_file(&path))
            }
        }
    }
}

impl Output {
    /// Checks whether a file with this name can be written later.
    fn check_file(&self, path: &Path) -> Result<()> {
        match path.metadata() {
            Ok(found) if found.is_dir() => bail!("{}: is a folder", path.display()),
            Ok(found) if !found.is_file() && !is_device(path) => {
                bail!("{}: not a file or a device; use `-o -` to write to a pipe", path.display())
            }
            Ok(found) if found.is_file() && !self.force => Err(Exists(path.to_owned()).into()),
            Err(_) if path.is_symlink() => bail!("{}: is a link to a missing file", path.display()),
            _ => Ok(()),
        }
    }
}

/// Whether this is a device, which is written to and must not be replaced.
#[cfg(unix)]
fn is_device(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    path.metadata().is_ok_and(|found| found.file_type().is_char_device() || found.file_type().is_block_device())
}

/// Whether this is a device, which is written to and must not be replaced.
#[cfg(not(unix))]
fn is_device(path: &Path) -> bool {
    path.exists() && !path.is_file() && !path.is_dir()
}

/// The error for an existing file.
#[derive(Debug)]
struct Exists(PathBuf);

impl std::fmt::Display for Exists {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: the file exists (--force replaces it)", self.0.display())
    }
}

impl std::error::Error for Exists {}

/// The format of a file name, which must not contradict the requested one.
fn format_of(path: &Path, asked: Option<Format>) -> Result<Option<Format>> {
    let Some(extension) = path.extension() else { return Ok(asked) };
    let extension = extension.to_string_lossy().to_ascii_lowercase();
    let named = match extension.as_str() {
        "png" => Format::Png,
        "jpg" | "jpeg" => Format::Jpeg,
        "webp" => Format::Webp,
        _ if asked.is_some() => return Ok(asked),
        _ => bail!(Usage(format!("{}: cannot write .{extension} files, only png, jpeg and webp", path.display()))),
    };
    match asked {
        Some(asked) if asked != named => {
            bail!(Usage(format!("--format {} contradicts the name {}", asked.name(), path.display())))
        }
        _ => Ok(Some(named)),
    }
}

/// Checks whether a file can be created in this folder, by trying it, because permissions and read-only mounts are hard
/// to predict.
fn check_folder(folder: &Path) -> Result<()> {
    temporary(folder).map(drop).with_context(|| format!("{}: cannot write to this folder", or_here(folder).display()))
}

/// The format of a file of this name, which does not exist yet or may be replaced. Its folder can be written to.
pub(crate) fn check_new(path: &Path, force: bool) -> Result<Format> {
    let Some(format) = format_of(path, None)? else {
        bail!(Usage(format!("{}: expected a name that ends with .png, .jpg or .webp", path.display())));
    };
    check_folder(path.parent().unwrap_or(Path::new("")))?;
    if path.is_dir() {
        bail!("{}: is a folder", path.display());
    }
    if path.is_file() && !force { Err(Exists(path.to_owned()).into()) } else { Ok(format) }
}

/// Writes a file atomically: to a temporary file next to it, which is then renamed. Devices and links must not be
/// replaced, so a device is written to directly, and so is the target of a link.
pub(crate) fn write_whole(path: &Path, bytes: &[u8], force: bool) -> Result<()> {
    let name = || path.display().to_string();
    let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if target.exists() && !target.is_file() {
        let file = std::fs::OpenOptions::new().write(true).open(&target);
        return file.and_then(|mut file| file.write_all(bytes)).with_context(name);
    }
    let write = |file: &mut std::fs::File| file.write_all(bytes).with_context(name);
    create_whole(path, force, write)
}

/// Writes a file atomically with the contents that `write` produces: to a temporary file next to it, which is then
/// renamed.
pub(crate) fn create_whole(
    path: &Path,
    force: bool,
    write: impl FnOnce(&mut std::fs::File) -> Result<()>,
) -> Result<()> {
    let name = || path.display().to_string();
    let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if target.exists() && !force {
        return Err(Exists(path.to_owned()).into());
    }
    let mut file = temporary(target.parent().unwrap_or(Path::new(""))).with_context(name)?;
    // Not through tempfile's own `Write`, which adds its path to errors.
    write(file.as_file_mut())?;
    file.as_file().sync_all().with_context(name)?;
    let kept = if force { file.persist(&target) } else { file.persist_noclobber(&target) };
    match kept {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Err(Exists(path.to_owned()).into()),
        Err(error) => Err(error.error).with_context(name),
    }
}

/// Replaces a file atomically.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    write_whole(path, bytes, true)
}

/// A temporary file, which is removed unless it is renamed.
fn temporary(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".easel-").suffix(".tmp");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // The permissions of any new file, restricted by the process's umask.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(or_here(folder)).map_err(|error| {
        // tempfile adds its random path to the system's error, which would confuse the user.
        error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
    })
}

fn or_here(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() { Path::new(".") } else { folder }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

/// The prompt as part of a file name: letters and digits, with single dashes for everything else.
fn slug(prompt: &str) -> String {
    const LONGEST: usize = 40;
    let mut slug = String::new();
    for c in prompt.chars().flat_map(char::to_lowercase) {
        if slug.chars().count() == LONGEST {
            break;
        }
        if c.is_alphanumeric() {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "picture".into() } else { slug.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(output: Option<PathBuf>) -> OutputArgs {
        OutputArgs { output, force: false, format: None, quality: None, preview: false, json: false, quiet: false }
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn prompts_become_file_names() {
        assert_eq!(slug("A red apple, on a table!"), "a-red-apple-on-a-table");
        assert_eq!(slug("../../etc/passwd"), "etc-passwd");
        assert_eq!(slug("  \n"), "picture");
        assert_eq!(slug("Żółw 🐢 crawls"), "żółw-crawls");
        assert_eq!(slug(&"word ".repeat(100)).chars().count(), 39);
    }

    #[test]
    fn derived_names_never_overwrite() {
        let folder = tempfile::tempdir().unwrap();
        let output = Output::plan(&args(Some(folder.path().into())), "a cat", 1, Format::Png).unwrap();
        for _ in 0..3 {
            output.write(0, 7, b"x").unwrap();
        }
        assert_eq!(names(folder.path()), ["a-cat-7-1.png", "a-cat-7-2.png", "a-cat-7.png"]);
    }

    #[test]
    fn several_pictures_are_numbered() {
        let folder = tempfile::tempdir().unwrap();
        let output = Output::plan(&args(Some(folder.path().join("x.jpg"))), "", 2, Format::Png).unwrap();
        output.write(0, 1, b"x").unwrap();
        output.write(1, 2, b"x").unwrap();
        assert_eq!(names(folder.path()), ["x-1.jpg", "x-2.jpg"]);
        assert_eq!(output.format(), Format::Jpeg);
    }

    #[test]
    fn existing_files_are_kept_unless_forced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.png");
        let mut args = args(Some(path.clone()));
        let output = Output::plan(&args, "", 1, Format::Png).unwrap();
        std::fs::write(&path, b"old").unwrap();
        // The file was created after the check.
        assert!(output.write(0, 1, b"new").unwrap_err().to_string().ends_with("exists (--force replaces it)"));
        assert!(Output::plan(&args, "", 1, Format::Png).unwrap_err().to_string().contains("x.png: the file exists"));
        args.force = true;
        Output::plan(&args, "", 1, Format::Png).unwrap().write(0, 1, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(names(folder.path()), ["x.png"]);
    }

    #[test]
    fn the_name_decides_the_format_and_may_not_contradict_it() {
        let plan = |name: &str, format| {
            let mut args = args(Some(name.into()));
            args.format = format;
            Output::plan(&args, "", 1, Format::Png).map(|output| output.format()).map_err(|error| error.to_string())
        };
        assert_eq!(plan("x.WEBP", None), Ok(Format::Webp));
        assert_eq!(plan("x", None), Ok(Format::Png));
        assert_eq!(plan("x", Some(Format::Jpeg)), Ok(Format::Jpeg));
        assert_eq!(plan("x.jpeg", Some(Format::Jpeg)), Ok(Format::Jpeg));
        assert_eq!(plan("x.img", Some(Format::Webp)), Ok(Format::Webp));
        assert_eq!(plan("x.png", Some(Format::Jpeg)), Err("--format jpeg contradicts the name x.png".into()));
        assert_eq!(plan("x.gif", None), Err("x.gif: cannot write .gif files, only png, jpeg and webp".into()));
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_and_files_are_readable_by_others() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("target.png");
        let link = folder.path().join("link.png");
        std::fs::write(&target, b"old").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        replace(&link, b"new").unwrap();
        assert!(link.is_symlink());
        assert_eq!(std::fs::read(&target).unwrap(), b"new");
        let plain = folder.path().join("plain");
        std::fs::write(&plain, b"").unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode();
        assert_eq!(mode(&target), mode(&plain));
    }
}
