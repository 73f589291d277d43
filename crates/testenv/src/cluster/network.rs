//! The cluster's network on the host: a bridge with an address in it, and a cable to each machine.

use std::net::Ipv4Addr;
use std::process::Command;

use crate::Error;

/// So many clusters can run on a host at a time.
const NETWORKS: u8 = 16;

/// One of the networks that clusters use, taken by making its bridge.
#[derive(Debug)]
pub(super) struct Network {
    number: u8,
}

impl Network {
    /// Takes a free one.
    pub(super) fn take() -> Result<Self, Error> {
        let mut refusal = None;
        for number in 0..NETWORKS {
            let network = Self { number };
            match ip(&["link", "add", &network.bridge(), "type", "bridge"]) {
                Ok(()) => {
                    let address = format!("{}/24", network.host());
                    ip(&["address", "add", &address, "dev", &network.bridge()])?;
                    ip(&["link", "set", &network.bridge(), "up"])?;
                    return Ok(network);
                }
                Err(error) => refusal = Some(error),
            }
        }
        Err(refusal.unwrap_or_else(|| Error::Refused("there is no network".into())))
    }

    /// Name of the bridge.
    pub(super) fn bridge(&self) -> String {
        format!("testenv{}", self.number)
    }

    /// Where pods reach programs of the host.
    pub(super) fn host(&self) -> Ipv4Addr {
        self.address(1)
    }

    /// Address of a machine; the host's is 1.
    pub(super) fn address(&self, machine: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 250, self.number, machine)
    }

    /// Addresses of all pods.
    pub(super) fn pods(&self) -> String {
        format!("10.244.{}.0/24", self.number)
    }

    /// Addresses of a machine's pods: a quarter of them.
    pub(super) fn pods_of(&self, machine: u8) -> String {
        format!("10.244.{}.{}/26", self.number, (machine % 4) * 64)
    }

    /// Addresses of Services.
    pub(super) fn services(&self) -> String {
        format!("10.96.{}.0/24", self.number)
    }

    /// The address of a Service.
    pub(super) fn service(&self, number: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 96, self.number, number)
    }

    /// Lays a cable into the network namespace of a process, and gives the other end this address.
    pub(super) fn connect(&self, machine: u8, pid: u32) -> Result<(), Error> {
        let (bridge, pid) = (self.bridge(), pid.to_string());
        let cable = format!("{bridge}m{machine}");
        // The kernel takes down the cable of a machine that is off a moment later.
        let _ = ip(&["link", "delete", &cable]);
        ip(&["link", "add", &cable, "type", "veth", "peer", "name", "eth0", "netns", &pid])?;
        ip(&["link", "set", &cable, "master", &bridge, "up"])?;
        let within = |arguments: &[&str]| run("nsenter", &[&["--net", "--target", &pid, "ip"], arguments].concat());
        within(&["link", "set", "lo", "up"])?;
        within(&["address", "add", &format!("{}/24", self.address(machine)), "dev", "eth0"])?;
        within(&["link", "set", "eth0", "up"])?;
        within(&["route", "add", "default", "via", &self.host().to_string()])
    }

    /// Sends what is for these addresses to a machine: from the host, or from the network namespace of a process.
    pub(super) fn route(&self, addresses: &str, machine: u8, from: Option<u32>) -> Result<(), Error> {
        let via = self.address(machine).to_string();
        let arguments = ["route", "replace", addresses, "via", &via];
        match from {
            None => ip(&arguments),
            Some(pid) => {
                run("nsenter", &[&["--net", "--target", &pid.to_string(), "ip"], arguments.as_slice()].concat())
            }
        }
    }
}

fn ip(arguments: &[&str]) -> Result<(), Error> {
    run("ip", arguments)
}

fn run(program: &str, arguments: &[&str]) -> Result<(), Error> {
    let output = Command::new(program).args(arguments).output().map_err(Error::io(format!("run {program}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::Refused(format!("{program} {}: {}", arguments.join(" "), said.trim())))
}
