package doctor

import "golang.org/x/sys/unix"

// fileSystems are the names of those that matter here, by the number that the
// kernel gives them.
var fileSystems = map[uint32]string{
	unix.TMPFS_MAGIC: "tmpfs", 0x858458f6: "ramfs", unix.OVERLAYFS_SUPER_MAGIC: "overlay", unix.EXT4_SUPER_MAGIC: "ext4",
	unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs", 0x2fc12fc1: "zfs", unix.NFS_SUPER_MAGIC: "nfs",
	unix.CIFS_SUPER_MAGIC: "cifs", unix.SMB2_SUPER_MAGIC: "smb", unix.FUSE_SUPER_MAGIC: "fuse", unix.V9FS_MAGIC: "9p",
}

func fileSystemName(st unix.Statfs_t) string { return fileSystems[uint32(st.Type)] }
