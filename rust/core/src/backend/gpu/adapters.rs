//! Which adapters the system has, and which one a name means.

use super::process::{on_this_side, same_process};
use crate::error::{Error, GpuTrouble, Result};
use std::sync::{Mutex, PoisonError};
use wgpu::{Backends, DeviceType, Features, InstanceDescriptor, MemoryBudgetThresholds};

/// A graphics processor of this system, or what plays one.
#[derive(Clone, Debug)]
pub struct Adapter {
    /// As its driver calls it.
    pub name: String,
    /// What wgpu reaches it through: `"vulkan"`, `"metal"` or `"dx12"`.
    pub backend: String,
    /// Its driver, with a version where that is known.
    pub driver: String,
    /// `"discrete"`, `"integrated"`, `"virtual"`, `"other"`, or `"software"` where the processor plays it.
    pub kind: &'static str,
    /// What it offers of what kernels use, in bytes and numbers.
    pub limits: Vec<(&'static str, u64)>,
    /// Those that matter to computing.
    pub features: Vec<&'static str>,
    /// What this crate does differently on it.
    pub quirks: Vec<&'static str>,
}

/// One that can be opened.
pub(super) struct Known {
    pub adapter: wgpu::Adapter,
    pub about: Adapter,
}

/// Of the adapters, those asked for first.
const ORDER: [&str; 5] = ["discrete", "integrated", "virtual", "other", "software"];

const HELP: &str = if cfg!(target_os = "linux") {
    "install the Vulkan driver of the graphics card and the loader libvulkan.so.1 (Debian, Ubuntu: apt install \
     libvulkan1; a container needs the driver's graphics libraries too, with NVIDIA \
     NVIDIA_DRIVER_CAPABILITIES=all), see with vulkaninfo whether they work, or use device=\"cpu\""
} else {
    "install the driver of the graphics card, or use device=\"cpu\""
};

/// All adapters, listed once a process: each instance of Vulkan costs tens of milliseconds, and two made at
/// the same time crash with some drivers. Never dropped, as contexts are not.
pub(super) fn list() -> Result<&'static [Known]> {
    static LIST: Mutex<Option<&'static [Known]>> = Mutex::new(None);
    same_process()?;
    let mut list = LIST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = *list {
        return Ok(known);
    }
    let known = on_this_side(|| {
        // What a driver's own budget leaves free is other programs'.
        let thresholds =
            MemoryBudgetThresholds { for_resource_creation: Some(90), for_device_loss: Some(97) };
        let instance = wgpu::Instance::new(InstanceDescriptor {
            backends: Backends::PRIMARY,
            memory_budget_thresholds: thresholds,
            ..InstanceDescriptor::new_without_display_handle()
        });
        let adapters = pollster::block_on(instance.enumerate_adapters(Backends::PRIMARY));
        let mut known: Vec<_> =
            adapters.into_iter().map(|adapter| Known { about: Adapter::of(&adapter), adapter }).collect();
        known.sort_by_key(|known| ORDER.iter().position(|&kind| kind == known.about.kind));
        Ok(known)
    });
    let known: &'static [Known] = Box::leak(known?.into());
    *list = Some(known);
    Ok(known)
}

/// All adapters, those first that are asked for first.
pub(crate) fn adapters() -> Result<Vec<Adapter>> {
    Ok(list()?.iter().map(|known| known.about.clone()).collect())
}

/// The adapter that `"gpu:<name>"` means, or `"gpu"`: its place in the list.
pub(crate) fn choose(name: Option<&str>) -> Result<usize> {
    pick(
        list()?.iter().map(|known| &known.about),
        name,
        variable("SEQRS_GPU_ADAPTER").as_deref(),
        software()?,
    )
}

pub(super) fn pick<'a>(
    adapters: impl Iterator<Item = &'a Adapter> + Clone,
    name: Option<&str>,
    variable: Option<&str>,
    software: bool,
) -> Result<usize> {
    let names = || adapters.clone().map(|adapter| adapter.name.as_str()).collect::<Vec<_>>().join(", ");
    if adapters.clone().next().is_none() {
        return Err(unavailable(format!("no graphics adapter was found; {HELP}")));
    }
    let Some(wanted) = name.or(variable) else {
        let usable = adapters.clone().position(|adapter| software || !adapter.is_software());
        return usable.ok_or_else(|| {
            unavailable(format!(
                "the only graphics adapter is the processor itself ({}), many times slower than device=\"cpu\"; \
                 {HELP}; to have it all the same, for tests, set SEQRS_ALLOW_SOFTWARE_GPU=1 or name it",
                names(),
            ))
        });
    };
    let found = adapters.clone().position(|a| a.name.to_lowercase().contains(&wanted.to_lowercase()));
    found.ok_or_else(|| {
        let kind = if name.is_some() { "graphics adapter" } else { "graphics adapter in SEQRS_GPU_ADAPTER" };
        Error::Unknown { kind, name: wanted.to_owned(), known: names() }
    })
}

impl Adapter {
    fn of(adapter: &wgpu::Adapter) -> Self {
        let (info, limits, features) = (adapter.get_info(), adapter.limits(), adapter.features());
        let kind = match info.device_type {
            DeviceType::DiscreteGpu => "discrete",
            DeviceType::IntegratedGpu => "integrated",
            DeviceType::VirtualGpu => "virtual",
            DeviceType::Cpu => "software",
            DeviceType::Other => "other",
        };
        let limits = vec![
            ("max_buffer_size", limits.max_buffer_size),
            ("max_storage_buffer_binding_size", limits.max_storage_buffer_binding_size),
            ("max_storage_buffers_per_shader_stage", limits.max_storage_buffers_per_shader_stage.into()),
            ("max_compute_workgroup_storage_size", limits.max_compute_workgroup_storage_size.into()),
            ("max_compute_invocations_per_workgroup", limits.max_compute_invocations_per_workgroup.into()),
            ("max_compute_workgroups_per_dimension", limits.max_compute_workgroups_per_dimension.into()),
        ];
        let told = Features::TIMESTAMP_QUERY
            | Features::SUBGROUP
            | Features::SHADER_F16
            | Features::IMMEDIATES
            | Features::PIPELINE_CACHE
            | Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
        let software = kind == "software";
        Self {
            driver: [info.driver, info.driver_info].join(" ").trim().to_owned(),
            name: info.name,
            backend: info.backend.to_string(),
            kind,
            limits,
            features: (features & told).iter_names().map(|(name, _)| name).collect(),
            quirks: software.then_some(QUIRK).into_iter().collect(),
        }
    }

    /// Whether the processor plays it.
    #[must_use]
    pub fn is_software(&self) -> bool {
        self.kind == "software"
    }
}

/// Mesa's lavapipe ends every loop of a thread, silently, when they have gone round 65535 times in all.
const QUIRK: &str = "long loops are cut in pieces: its loops end after 65535 rounds";

pub(super) fn unavailable(message: String) -> Error {
    Error::Gpu(GpuTrouble::Unavailable, message)
}

/// An environment variable; one that is empty counts as not set.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Whether a software adapter may be taken that nobody has named.
fn software() -> Result<bool> {
    match variable("SEQRS_ALLOW_SOFTWARE_GPU").as_deref() {
        None | Some("0") => Ok(false),
        Some("1") => Ok(true),
        Some(other) => Err(Error::value("SEQRS_ALLOW_SOFTWARE_GPU", "0 or 1", format!("{other:?}"))),
    }
}

/// The most bytes that buffers may take, where the user has said so.
pub(super) fn cap() -> Result<Option<u64>> {
    number("SEQRS_GPU_MAX_BYTES", "a whole number of bytes of at least 1")
}

/// The most steps of a segment, where a test has said so: see [`super::segments`].
pub(super) fn most_steps() -> Result<Option<usize>> {
    let steps = number("SEQRS_GPU_MAX_STEPS", "a whole number of steps of at least 1")?;
    Ok(steps.map(|steps| usize::try_from(steps).unwrap_or(usize::MAX)))
}

/// An environment variable that is a number of at least 1.
fn number(name: &'static str, expected: &'static str) -> Result<Option<u64>> {
    let Some(value) = variable(name) else { return Ok(None) };
    let number = value.parse::<u64>().ok().filter(|&number| number > 0);
    number.map(Some).ok_or_else(|| Error::value(name, expected, format!("{value:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapter(name: &str, kind: &'static str) -> Adapter {
        let (backend, driver) = ("vulkan".to_owned(), String::new());
        Adapter {
            name: name.to_owned(),
            backend,
            driver,
            kind,
            limits: vec![],
            features: vec![],
            quirks: vec![],
        }
    }

    fn picked(
        adapters: &[Adapter],
        name: Option<&str>,
        variable: Option<&str>,
        software: bool,
    ) -> std::result::Result<usize, String> {
        pick(adapters.iter(), name, variable, software).map_err(|error| error.to_string())
    }

    #[test]
    fn a_name_goes_before_the_variable_and_the_variable_before_the_kind() {
        let all = [adapter("NVIDIA H200", "discrete"), adapter("Intel UHD", "integrated")];
        assert_eq!(picked(&all, None, None, false), Ok(0));
        assert_eq!(picked(&all, None, Some("intel"), false), Ok(1));
        assert_eq!(picked(&all, Some("h200"), Some("intel"), false), Ok(0));
        let message = picked(&all, Some("radeon"), None, false).expect_err("there is none");
        assert_eq!(message, "unknown graphics adapter \"radeon\"; known: NVIDIA H200, Intel UHD");
        let message = picked(&all, None, Some("radeon"), false).expect_err("there is none");
        assert!(message.contains("SEQRS_GPU_ADAPTER"), "{message}");
    }

    #[test]
    fn software_is_taken_only_where_it_is_allowed_or_named() {
        let all = [adapter("llvmpipe (LLVM 15)", "software")];
        let message = picked(&all, None, None, false).expect_err("not allowed");
        assert!(message.contains("llvmpipe") && message.contains("SEQRS_ALLOW_SOFTWARE_GPU=1"), "{message}");
        assert_eq!(picked(&all, None, None, true), Ok(0));
        assert_eq!(picked(&all, Some("LLVMpipe"), None, false), Ok(0));
        let message = picked(&[], None, None, true).expect_err("there is none");
        assert!(message.contains("no graphics adapter was found; install"), "{message}");
    }
}
