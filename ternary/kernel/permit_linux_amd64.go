//go:build !noasm

package kernel

import "syscall"

// permitTiles asks for AMX's tile registers, 8 KB that Linux saves for threads which use them, and for no process that has not asked (arch_prctl(2),
// Documentation/arch/x86/xstate.rst). It holds for all threads of the process.
func permitTiles() bool {
	const request, tileData = 0x1023, 18 // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILE_DATA
	_, _, failed := syscall.RawSyscall(syscall.SYS_ARCH_PRCTL, request, tileData, 0)
	return failed == 0
}
