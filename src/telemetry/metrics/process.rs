//! What every Prometheus client says of its process, under the names that they share.

use std::fmt;

use procfs::{
    ProcResult, WithCurrentSystemInfo,
    process::{LimitValue, Process},
};

use super::{Families, Registry, collect};

/// What the kernel says of this process.
struct Usage {
    cpu_seconds: f64,
    open_files: usize,
    max_files: Option<u64>,
    virtual_bytes: u64,
    resident_bytes: u64,
    started: f64,
    threads: i64,
}

/// Adds the families `process_…`.
pub(super) fn register(registry: &mut Registry) {
    collect(registry, |families| match Usage::now() {
        Ok(usage) => usage.write(families),
        // A container may hide /proc.
        Err(error) => {
            tracing::debug!(%error, "nothing is known of the process");
            Ok(())
        }
    });
}

// === impl Usage ===

impl Usage {
    #[expect(clippy::cast_precision_loss, reason = "times since 1970 and CPU times are far below 2^52")]
    fn now() -> ProcResult<Self> {
        let process = Process::myself()?;
        let stat = process.stat()?;
        let ticks = procfs::ticks_per_second() as f64;
        let max_files = match process.limits()?.max_open_files.soft_limit {
            LimitValue::Value(files) => Some(files),
            LimitValue::Unlimited => None,
        };
        Ok(Self {
            cpu_seconds: (stat.utime + stat.stime) as f64 / ticks,
            open_files: process.fd_count()?,
            max_files,
            virtual_bytes: stat.vsize,
            resident_bytes: stat.rss_bytes().get(),
            started: procfs::boot_time_secs()? as f64 + stat.starttime as f64 / ticks,
            threads: stat.num_threads,
        })
    }

    fn write(&self, families: &mut Families<'_>) -> fmt::Result {
        families.counter("process_cpu_seconds", "CPU time of the process in seconds.", self.cpu_seconds)?;
        families.gauge("process_open_fds", "Open file descriptors.", self.open_files)?;
        if let Some(most) = self.max_files {
            families.gauge("process_max_fds", "Most file descriptors that may be open.", most)?;
        }
        families.gauge("process_virtual_memory_bytes", "Virtual memory.", self.virtual_bytes)?;
        families.gauge("process_resident_memory_bytes", "Memory that is resident.", self.resident_bytes)?;
        families.gauge(
            "process_start_time_seconds",
            "When the process started, in seconds since 1970.",
            self.started,
        )?;
        families.gauge("process_threads", "Threads of the process.", self.threads)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    #[test]
    fn a_process_knows_its_own_usage() {
        let usage = Usage::now().unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        assert!(usage.started > 0.0 && usage.started < now + 2.0, "{}", usage.started);
        assert!(usage.resident_bytes > 100_000 && usage.virtual_bytes >= usage.resident_bytes);
        assert!(usage.open_files > 2 && usage.max_files.is_none_or(|most| most >= usage.open_files as u64));
        assert!(usage.threads >= 1 && usage.cpu_seconds >= 0.0);
    }
}
