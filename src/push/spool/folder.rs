//! A spool's folder: a file for each request, and one that says for which server they are.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use nix::fcntl::{Flock, FlockArg};
use tempfile::TempDir;

use crate::push::endpoint::{Endpoint, Request};

/// A folder for requests to one server.
#[derive(Debug)]
pub(super) struct Folder {
    /// None for a temporary one that is not made yet.
    path: Option<PathBuf>,
    /// The folder, if it is for this recording only.
    temporary: Option<TempDir>,
    /// The server, as [`Endpoint::shown`].
    server: String,
    /// Number of the next file.
    next: u64,
    /// Keeps other recorders from the folder.
    _lock: Option<Flock<File>>,
}

/// Ending of a request's file.
const REQUEST: &str = "request";
/// Name of the file with the server's address.
const SERVER: &str = "server";
/// Maximum bytes of a request that is read: no part of a recording is as large.
const LARGEST: u64 = 256 << 20;

impl Folder {
    /// Returns a temporary folder, which is made with the first file.
    pub(super) fn temporary(endpoint: &Endpoint) -> Folder {
        Folder { path: None, temporary: None, server: endpoint.shown(), next: 0, _lock: None }
    }

    /// Opens a folder, which is made if it is missing. Returns the numbers and sizes of its files too.
    ///
    /// # Errors
    /// If the folder can't be used, others may write to it, another recorder uses it, or it is for another server.
    pub(super) fn open(path: &Path, endpoint: &Endpoint) -> anyhow::Result<(Folder, Vec<(u64, u64)>)> {
        let cannot = || format!("cannot use {} as a spool", path.display());
        DirBuilder::new().recursive(true).mode(0o700).create(path).with_context(cannot)?;
        let present = fs::metadata(path).with_context(cannot)?;
        if present.uid() != nix::unistd::geteuid().as_raw() || present.mode() & 0o022 != 0 {
            bail!("cannot use {} as a spool: other users can write to it; name a folder of your own", path.display());
        }
        let lock = lock(path)?;
        let server = endpoint.shown();
        let mut known = String::new();
        match open(&path.join(SERVER), OpenOptions::new().read(true)) {
            Ok(file) => drop(file.take(LARGEST).read_to_string(&mut known).with_context(cannot)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(cannot),
        }
        let mut files = Vec::new();
        for entry in fs::read_dir(path).with_context(cannot)? {
            let entry = entry.with_context(cannot)?;
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(REQUEST)?.strip_suffix('.'));
            if let Some(number) = number.and_then(|number| number.parse().ok()) {
                files.push((number, entry.metadata().with_context(cannot)?.len()));
            }
        }
        if !files.is_empty() && known != server {
            bail!("what waits in {} is for {known}; choose another folder with --spool", path.display());
        }
        write_whole(path, SERVER, server.as_bytes()).with_context(cannot)?;
        files.sort_unstable();
        let next = files.last().map_or(0, |(number, _)| number + 1);
        Ok((Folder { path: Some(path.to_owned()), temporary: None, server, next, _lock: Some(lock) }, files))
    }

    /// Writes a request to a file. Returns its number and size.
    ///
    /// # Errors
    /// If it can't be written.
    pub(super) fn write(&mut self, request: &Request) -> io::Result<(u64, u64)> {
        let path = match &self.path {
            Some(path) => path.clone(),
            None => {
                let made = tempfile::Builder::new().prefix("cgoprof-push-").tempdir()?;
                write_whole(made.path(), SERVER, self.server.as_bytes())?;
                self.path.insert(self.temporary.insert(made).path().to_owned()).clone()
            }
        };
        let bytes = to_bytes(request);
        write_whole(&path, &name(self.next), &bytes)?;
        self.next += 1;
        Ok((self.next - 1, bytes.len() as u64))
    }

    /// Reads a file. None if it is no request.
    pub(super) fn read(&self, number: u64) -> Option<Request> {
        let mut bytes = Vec::new();
        let file = open(&self.path.as_ref()?.join(name(number)), OpenOptions::new().read(true)).ok()?;
        file.take(LARGEST).read_to_end(&mut bytes).ok()?;
        of_bytes(&bytes)
    }

    /// Removes a file.
    pub(super) fn remove(&self, number: u64) {
        if let Some(path) = &self.path {
            let _ = fs::remove_file(path.join(name(number)));
        }
    }

    /// Leaves the folder; a temporary one goes if it is empty. Returns its path, if it is there.
    pub(super) fn leave(&mut self, is_empty: bool) -> Option<PathBuf> {
        match self.temporary.take() {
            Some(temporary) if !is_empty => Some(temporary.keep()),
            Some(_) => None,
            None => self.path.clone(),
        }
    }
}

fn name(number: u64) -> String {
    format!("{number:010}.{REQUEST}")
}

/// Opens a file that is no link.
fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    options.mode(0o600).custom_flags(libc::O_NOFOLLOW).open(path)
}

/// Locks a folder for this process.
fn lock(folder: &Path) -> anyhow::Result<Flock<File>> {
    let cannot = || format!("cannot use {} as a spool", folder.display());
    let file = open(&folder.join("lock"), OpenOptions::new().create(true).truncate(false).write(true));
    match Flock::lock(file.with_context(cannot)?, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => {
            bail!("another recorder uses {}; choose another folder with --spool", folder.display())
        }
        Err((_, error)) => Err(error).with_context(cannot),
    }
}

/// Writes a file that has its name only when it is whole.
fn write_whole(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let (path, partial) = (folder.join(name), folder.join(name).with_extension("partial"));
    let file = open(&partial, OpenOptions::new().create(true).truncate(true).write(true));
    let written = file.and_then(|mut file| file.write_all(bytes)).and_then(|()| fs::rename(&partial, &path));
    if written.is_err() {
        let _ = fs::remove_file(&partial);
    }
    written
}

/// Returns a request as a file: a line of JSON, and the body.
fn to_bytes(request: &Request) -> Vec<u8> {
    let head = serde_json::json!({ "query": request.query, "headers": request.headers }).to_string();
    [head.as_bytes(), b"\n", &request.body].concat()
}

fn of_bytes(bytes: &[u8]) -> Option<Request> {
    let end = bytes.iter().position(|&byte| byte == b'\n')?;
    let head: serde_json::Value = serde_json::from_slice(&bytes[..end]).ok()?;
    let header = |pair: &serde_json::Value| Some((pair[0].as_str()?.to_owned(), pair[1].as_str()?.to_owned()));
    Some(Request {
        query: head["query"].as_str()?.to_owned(),
        headers: head["headers"].as_array()?.iter().map(header).collect::<Option<_>>()?,
        body: bytes[end + 1..].to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn opened(path: &Path) -> anyhow::Result<(Folder, Vec<(u64, u64)>)> {
        Folder::open(path, &Endpoint::parse("http://localhost/ingest").expect("a URL"))
    }

    #[test]
    fn any_bytes_are_no_request_or_one() {
        for bytes in [&b""[..], b"\n", b"{\n", b"{\"query\":1}\n", b"{\"query\":\"\",\"headers\":[[]]}\n", b"[]\nbody"]
        {
            assert_eq!(of_bytes(bytes), None);
        }
    }

    #[test]
    fn a_folder_that_others_can_write_to_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("its mode");
        assert!(opened(folder.path()).expect_err("an error").to_string().contains("other users can write"));
    }

    #[test]
    fn links_are_not_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let victim = folder.path().join("victim");
        fs::write(&victim, "precious").expect("a file");
        for name in ["lock", "server", "server.partial", "0000000000.partial"] {
            let spool = folder.path().join(name.replace('.', "-"));
            fs::create_dir(&spool).expect("a folder");
            fs::set_permissions(&spool, fs::Permissions::from_mode(0o700)).expect("its mode");
            symlink(&victim, spool.join(name)).expect("a link");
            if let Ok((mut folder, _)) = opened(&spool) {
                let _ = folder.write(&Request::default());
            }
            assert_eq!(fs::read(&victim).expect("the file"), b"precious", "{name}");
        }
    }
}
