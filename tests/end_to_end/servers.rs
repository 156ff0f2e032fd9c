//! Servers that tests start, stop and start again.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cgoprof_testing::go;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A server that does not outlive its test, whatever that finds.
pub(crate) struct Server {
    program: PathBuf,
    arguments: Vec<String>,
    pub(crate) address: SocketAddr,
    /// What it prints, over all of its processes.
    output: PathBuf,
    /// The signal that stops it without a loss of what it has acknowledged.
    signal: Signal,
    child: Option<Child>,
}

impl Server {
    /// Starts it, and waits until it listens.
    pub(crate) fn start(&mut self) {
        let output = File::options().create(true).append(true).open(&self.output).expect("a file");
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::null()).stdout(output).stderr(Stdio::null());
        self.child = Some(command.spawn().expect("the server runs"));
        until(Duration::from_secs(60), "the server listens", || TcpStream::connect(self.address).is_ok());
    }

    /// Stops it, and waits for its end.
    pub(crate) fn stop(&mut self) {
        let mut child = self.child.take().expect("it runs");
        kill(Pid::from_raw(child.id() as i32), self.signal).expect("it runs");
        let most = Duration::from_secs(60);
        let start = Instant::now();
        while child.try_wait().expect("it is ours").is_none() {
            assert!(start.elapsed() < most, "the server has not ended within {most:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn printed(&self) -> String {
        std::fs::read_to_string(&self.output).expect("what it prints")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill().and_then(|()| child.wait());
        }
    }
}

/// An address of this machine where nobody listens.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port")
}

/// The OpenTelemetry Collector, which prints what it gets; with a certificate and its key, it speaks TLS.
pub(crate) fn collector(folder: &Path, tls: Option<(&Path, &Path)>) -> Server {
    std::fs::create_dir_all(folder).expect("a folder");
    let address = free_address();
    let tls = tls.map_or(String::new(), |(certificate, key)| {
        format!(", tls: {{cert_file: '{}', key_file: '{}'}}", certificate.display(), key.display())
    });
    let config = folder.join("config.yaml");
    let text = format!(
        "receivers: {{otlp: {{protocols: {{http: {{endpoint: '{address}'{tls}}}}}}}}}
exporters: {{print: {{}}}}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines: {{profiles: {{receivers: [otlp], exporters: [print]}}}}
"
    );
    std::fs::write(&config, text).expect("a file");
    Server {
        program: go::reader("collector", "."),
        arguments: vec![format!("--config={}", config.display()), "--feature-gates=service.profilesSupport".to_owned()],
        address,
        output: folder.join("printed"),
        signal: Signal::SIGKILL,
        child: None,
    }
}

/// Grafana Pyroscope, with its data in a folder. Killed, it would lose what it has in memory.
pub(crate) fn pyroscope(folder: &Path) -> Server {
    std::fs::create_dir_all(folder).expect("a folder");
    let address = free_address();
    let arguments = [
        format!("-server.http-listen-port={}", address.port()),
        format!("-server.grpc-listen-port={}", free_address().port()),
        format!("-memberlist.bind-port={}", free_address().port()),
        format!("-pyroscopedb.data-path={}", folder.join("data").display()),
        "-memberlist.advertise-addr=127.0.0.1".to_owned(),
        "-memberlist.bind-addr=127.0.0.1".to_owned(),
        "-server.http-listen-address=127.0.0.1".to_owned(),
        "-self-profiling.disable-push=true".to_owned(),
        "-usage-stats.enabled=false".to_owned(),
    ];
    // Its parts would reach each other by the address of a network.
    let parts = ["distributor.ring", "store-gateway.sharding-ring", "overrides-exporter.ring", "query-scheduler.ring"];
    let parts = parts.iter().chain(&["compactor.ring", "query-frontend"]).map(|part| format!("{part}.instance-addr"));
    let parts = parts.chain(["ingester.lifecycler.addr".to_owned()]).map(|flag| format!("-{flag}=127.0.0.1"));
    Server {
        program: go::reader("pyroscope", "."),
        arguments: arguments.into_iter().chain(parts).collect(),
        address,
        output: folder.join("printed"),
        signal: Signal::SIGTERM,
        child: None,
    }
}

/// Parca, with its data in a folder. Its log of what it has acknowledged is written later.
pub(crate) fn parca(folder: &Path) -> Server {
    std::fs::create_dir_all(folder).expect("a folder");
    let address = free_address();
    let arguments = [format!("-http-address={address}"), format!("-storage-path={}", folder.join("data").display())];
    Server {
        program: go::reader("parca", "."),
        arguments: arguments.into(),
        address,
        output: folder.join("printed"),
        signal: Signal::SIGTERM,
        child: None,
    }
}

/// Waits until something holds.
pub(crate) fn until(most: Duration, what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < most, "{what}: not within {most:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
