// SPDX-License-Identifier: BSD-2-Clause-Patent
//! Counts, as the driver in C beside it: the reply to a message of 8 bytes is its number plus one.
#![no_std]

use core::ffi::c_void;

#[repr(C)]
pub struct Guid(u32, u16, u16, [u8; 8]);

type Handle = usize;
type Status = usize;
const SUCCESS: Status = 0;
const INVALID_PARAMETER: Status = 1 << 63 | 2;

/// On this target `extern "C"` is the calling convention of UEFI.
type Handler = unsafe extern "C" fn(Handle, *const c_void, *mut c_void, *mut usize) -> Status;

/// EFI_MM_SYSTEM_TABLE up to what this driver needs; the order is that of PI (sdk/mm_driver.h has every type).
#[repr(C)]
pub struct MmSystemTable {
    header: [u64; 3],
    firmware_vendor: usize,
    firmware_revision: u32,
    install_configuration_table: usize,
    io: [usize; 4],
    allocate_and_free: [usize; 4],
    startup_this_ap: usize,
    currently_executing_cpu: usize,
    number_of_cpus: usize,
    save_state: [usize; 2],
    configuration_table: [usize; 2],
    protocols: [usize; 6],
    mmi_manage: usize,
    mmi_handler_register: unsafe extern "C" fn(Handler, *const Guid, *mut Handle) -> Status,
}

static HANDLER: Guid = Guid(0x11111111, 0x2222, 0x3333, [0x44, 0x44, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55]);

/// The buffer is the supervisor's copy of the message: it does not change while the handler reads it.
unsafe extern "C" fn on_message(_: Handle, _: *const c_void, buffer: *mut c_void, size: *mut usize) -> Status {
    if buffer.is_null() || size.is_null() || *size != core::mem::size_of::<u64>() {
        return INVALID_PARAMETER;
    }
    let number = buffer as *mut u64;
    *number = (*number).wrapping_add(1);
    SUCCESS
}

/// # Safety
/// Called once, by the entry point of the SDK.
#[no_mangle]
pub unsafe extern "C" fn mm_driver_main(_image: Handle, mmst: *const MmSystemTable) -> Status {
    let mut dispatch: Handle = 0;
    ((*mmst).mmi_handler_register)(on_message, &HANDLER, &mut dispatch)
}

/// A panic is a fault of the driver, which the supervisor tells and contains.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    unsafe { core::arch::asm!("ud2", options(noreturn)) }
}
