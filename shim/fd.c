/* fd.c — what is known of each descriptor. The table may be stale: descriptors also change by inline system calls, by
 * messages and in vfork children. So it only says where to look; a record's path is read from the descriptor itself. */
#include <stdarg.h>
#include "shim.h"

struct vcr_fd vcr_far_fd[VCR_FDS];
static VCR_HOT uint32_t highest; /* no descriptor above it was ever of interest */
static VCR_HOT uint32_t copies;  /* one of a file was ever made */

void vcr_fd_set(int fd, enum vcr_fd_kind kind)
{
	if ((unsigned)fd >= VCR_FDS)
		return;
	uint32_t high = __atomic_load_n(&highest, __ATOMIC_RELAXED);
	while (kind && (uint32_t)fd > high && !__atomic_compare_exchange_n(&highest, &high, (uint32_t)fd, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
	__atomic_store_n(&vcr_fd_at(fd)->kind, (uint8_t)kind, __ATOMIC_RELAXED);
}

/* Does another descriptor carry the same connection? */
static bool has_copy(int fd, uint32_t conn)
{
	for (uint32_t i = 0; i <= vcr_load(&highest); i++)
		if ((int)i != fd && vcr_fd_at(i)->kind == VCR_FD_PLAIN && vcr_fd_at(i)->conn == conn)
			return true;
	return false;
}

bool vcr_fd_has_file_copy(int fd)
{
	uint32_t end = (unsigned)fd < VCR_FDS && vcr_load(&copies) ? vcr_fd_at(fd)->conn : 0;
	for (uint32_t i = 0; end && i <= vcr_load(&highest); i++)
		if ((int)i != fd && (vcr_fd_at(i)->kind == VCR_FD_FILE || vcr_fd_at(i)->kind == VCR_FD_DIRTY) && vcr_fd_at(i)->conn == end)
			return true;
	return false;
}

void vcr_fd_closed(int fd)
{
	int kind = vcr_fd_get(fd);
	if (vcr_likely(!kind) || vcr_guest_seen())
		return;
	vcr_fd_set(fd, VCR_FD_NONE);
	if (kind == VCR_FD_TLS)
		vcr_unheard_closed(fd);
	if (kind == VCR_FD_PLAIN && vcr_fd_at(fd)->conn >= vcr_self.first_conn && !has_copy(fd, vcr_fd_at(fd)->conn))
		vcr_conn_closed(vcr_fd_at(fd)->conn, 0);
}

void vcr_fd_closed_range(unsigned first, unsigned last)
{
	unsigned high = vcr_load(&highest);
	for (unsigned fd = first; fd <= last && fd <= high; fd++)
		if (vcr_fd_at(fd)->kind)
			vcr_fd_closed((int)fd);
}

/* Two descriptors of a connection whose first bytes are still to come: whichever they go through, both are recorded then. */
static void pair(int from, int to)
{
	static uint32_t pairs;
	if (!(vcr_fd_at(from)->conn & VCR_FD_PAIR))
		vcr_fd_at(from)->conn = __atomic_add_fetch(&pairs, 1, __ATOMIC_RELAXED) | VCR_FD_PAIR;
	vcr_fd_at(to)->conn = vcr_fd_at(from)->conn;
}

void vcr_fd_plain(int fd, uint32_t conn)
{
	uint32_t mark = vcr_fd_at(fd)->conn & VCR_FD_PAIR ? vcr_fd_at(fd)->conn : 0;
	vcr_fd_at(fd)->conn = conn;
	vcr_fd_set(fd, VCR_FD_PLAIN);
	for (uint32_t i = 0; mark && i <= vcr_load(&highest); i++)
		if (vcr_fd_get((int)i) == VCR_FD_SOCKET && vcr_fd_at(i)->conn == mark) {
			vcr_fd_at(i)->conn = conn;
			vcr_fd_set((int)i, VCR_FD_PLAIN);
		}
}

void vcr_fd_copied(int from, int to)
{
	int kind = vcr_fd_get(from);
	if (from == to || (!kind && !vcr_fd_get(to)) || (unsigned)to >= VCR_FDS || vcr_guest_seen())
		return;
	if (vcr_fd_get(to))
		vcr_fd_closed(to);
	if (kind == VCR_FD_SOCKET)
		pair(from, to);
	else if (kind)
		vcr_fd_at(to)->conn = vcr_fd_at(from)->conn;
	if (kind == VCR_FD_FILE || kind == VCR_FD_DIRTY) {
		vcr_store(&copies, 1);
		vcr_names_copied(from, to);
	}
	vcr_fd_set(to, (enum vcr_fd_kind)kind);
}

/* A file that was written: its name is still to be had before the close. Nothing else is done early, a failing close keeps
 * the descriptor only for EBADF. */
static void before_close(int fd)
{
	int kind = vcr_fd_get(fd);
	if (vcr_unlikely(kind == VCR_FD_FILE || kind == VCR_FD_DIRTY))
		vcr_mark_closed(fd, kind);
	else if (kind == VCR_FD_NOTES && !vcr_guest_seen())
		vcr_mark_notes();
}

int close(int fd)
{
	if (vcr_likely(!vcr_fd_get(fd)))
		return VCR_REAL(close)(fd);
	before_close(fd);
	int r = VCR_REAL(close)(fd), saved = errno;
	vcr_fd_closed(fd);
	errno = saved;
	return r;
}

static void before_close_range(unsigned first, unsigned last)
{
	unsigned high = vcr_load(&highest);
	for (unsigned fd = first; fd <= last && fd <= high; fd++)
		before_close((int)fd);
}

int close_range(unsigned first, unsigned last, int flags)
{
	bool closes = !(flags & 4 /* CLOSE_RANGE_CLOEXEC */);
	if (closes)
		before_close_range(first, last);
	int r = VCR_REAL(close_range)(first, last, flags);
	if (r == 0 && closes)
		vcr_fd_closed_range(first, last);
	return r;
}

void closefrom(int first)
{
	unsigned from = first > 0 ? (unsigned)first : 0;
	before_close_range(from, UINT32_MAX);
	VCR_REAL(closefrom)(first);
	vcr_fd_closed_range(from, UINT32_MAX);
}

int dup(int fd)
{
	int r = VCR_REAL(dup)(fd);
	if (r >= 0)
		vcr_fd_copied(fd, r);
	return r;
}

int dup2(int from, int to)
{
	if (from != to)
		before_close(to);
	int r = VCR_REAL(dup2)(from, to);
	if (r >= 0)
		vcr_fd_copied(from, r);
	return r;
}

int dup3(int from, int to, int flags)
{
	before_close(to);
	int r = VCR_REAL(dup3)(from, to, flags);
	if (r >= 0)
		vcr_fd_copied(from, r);
	return r;
}

/* fcntl's third argument is an int, a pointer or nothing: a long carries each of them. */
static int control(__typeof__(&fcntl) real, int fd, int what, long arg)
{
	int r = real(fd, what, arg);
	if (r >= 0 && (what == F_DUPFD || what == F_DUPFD_CLOEXEC))
		vcr_fd_copied(fd, r);
	return r;
}

int fcntl(int fd, int what, ...)
{
	va_list ap;
	va_start(ap, what);
	long arg = va_arg(ap, long);
	va_end(ap);
	return control(VCR_REAL(fcntl), fd, what, arg);
}

int fcntl64(int fd, int what, ...)
{
	va_list ap;
	va_start(ap, what);
	long arg = va_arg(ap, long);
	va_end(ap);
	return control(VCR_REAL(fcntl64), fd, what, arg);
}
