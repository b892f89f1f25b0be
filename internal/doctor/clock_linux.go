package doctor

import "golang.org/x/sys/unix"

// clockSynced is what the kernel has been told about its clock. A container
// may not know.
func clockSynced() (synced, known bool) {
	var t unix.Timex // asks and sets nothing
	state, err := unix.Adjtimex(&t)
	return state != unix.TIME_ERROR, err == nil
}
