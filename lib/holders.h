/* holders.h — which running processes have files open, mapped, or stand in directories that are about to be replaced or removed.
 *
 * Read from /proc/PID/fd, /proc/PID/maps and /proc/PID/cwd, by device and inode, so another name for a file counts too. Only what this user may
 * look into is seen (for others than root: his own processes), never this process itself. Bounded: 4096 processes, 200,000 descriptors, 32 MiB of
 * maps; what is beyond is not looked at and `complete` is false. A moment later it may be different: this informs, it does not lock. */
#ifndef VCR_HOLDERS_H
#define VCR_HOLDERS_H
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

enum vcr_holder_how { VCR_HOLDER_READS, VCR_HOLDER_WRITES, VCR_HOLDER_MAPS, VCR_HOLDER_STANDS };
struct vcr_holder {
	int pid;
	char program[32];       /* its comm, as the kernel has it: whatever the process likes */
	size_t file;            /* index into file[] */
	enum vcr_holder_how how; /* the strongest, one entry for each process and file */
};
/* The processes that hold any of the n files, by pid; at most max. complete: all that could be read was looked at, and there was room. */
size_t vcr_holders_find(const struct stat *file, size_t n, struct vcr_holder *out, size_t max, bool *complete);
/* "reads", "writes", "maps", "stands in". */
const char *vcr_holder_word(enum vcr_holder_how how);

#endif
