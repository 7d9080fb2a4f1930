/* cwd.c — the working directory, so that a build by relative names need not ask for it with each file. Kept until this process goes elsewhere, somebody in the session
 * renames something or starts a program that could do so unseen, and for a moment only: who goes elsewhere by a system call instruction of his own is not seen. Where
 * threads may have one each, or libc itself goes from directory to directory (nftw, fts), it is asked for each time. */
#include "shim.h"

enum { LONGEST = 256, MOMENT_NS = 50000000, ASKED = 3 /* times before it is kept: most programs write no more, and the clock costs page faults */ };
static VCR_HOT struct { uint32_t taken, moves, renames; uint64_t since_ns; char path[LONGEST]; } kept;
static VCR_HOT uint32_t moves, wanders, asked;

static bool ask(char out[PATH_MAX])
{
	return raw_getcwd(out, PATH_MAX) > 0 && *out == '/';
}

static uint64_t moment(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

bool vcr_cwd(char out[PATH_MAX])
{
	struct vcr_spool_header *h = vcr_spool_mapped();
	uint32_t moved = vcr_load(&moves);
	if (vcr_load(&asked) < ASKED) {
		vcr_store(&asked, vcr_load(&asked) + 1);
		return ask(out);
	}
	if (!h || vcr_load(&vcr_sharers) || vcr_load(&wanders) || vcr_load(&h->strangers) || __atomic_exchange_n(&kept.taken, 1, __ATOMIC_ACQUIRE))
		return ask(out);
	uint32_t renames = vcr_load(&h->renames);
	uint64_t now = moment();
	bool known = *kept.path && kept.moves == moved && kept.renames == renames && now - kept.since_ns < MOMENT_NS;
	if (known) {
		strcpy(out, kept.path);
	} else {
		known = ask(out);
		kept.moves = moved;
		kept.renames = renames;
		kept.since_ns = now;
		vcr_format(kept.path, known && strlen(out) < LONGEST ? out : "");
	}
	vcr_store(&kept.taken, 0);
	return known;
}

static void moves_now(void)
{
	__atomic_fetch_add(&moves, 1, __ATOMIC_ACQ_REL);
}

/* The path stays as it is: whoever forks in a signal's handler may go on in the midst of vcr_cwd. */
void vcr_cwd_forget(void)
{
	moves_now();
	vcr_store(&kept.taken, 0);
}

void vcr_cwd_wanders(void)
{
	vcr_store(&wanders, 1);
}

/* Before and after: between the call and what stands behind it a signal's handler may come, and need not come back. */
#define MOVED(call) __extension__({ moves_now(); int r_ = (call); moves_now(); r_; })

int chdir(const char *path) { return MOVED(VCR_REAL(chdir)(path)); }
int fchdir(int fd) { return MOVED(VCR_REAL(fchdir)(fd)); }
int chroot(const char *path) { return MOVED(VCR_REAL(chroot)(path)); }

int unshare(int flags)
{
	vcr_cwd_wanders();
	return VCR_REAL(unshare)(flags);
}

int setns(int fd, int kind)
{
	vcr_cwd_wanders();
	return VCR_REAL(setns)(fd, kind);
}

int nftw(const char *path, __nftw_func_t fn, int most, int flags)
{
	vcr_cwd_wanders();
	return VCR_REAL(nftw)(path, fn, most, flags);
}

int nftw64(const char *path, __nftw64_func_t fn, int most, int flags)
{
	vcr_cwd_wanders();
	return VCR_REAL(nftw64)(path, fn, most, flags);
}

FTS *fts_open(char *const *paths, int options, int (*compare)(const FTSENT **, const FTSENT **))
{
	vcr_cwd_wanders();
	return VCR_REAL(fts_open)(paths, options, compare);
}

FTS64 *fts64_open(char *const *paths, int options, int (*compare)(const FTSENT64 **, const FTSENT64 **))
{
	vcr_cwd_wanders();
	return VCR_REAL(fts64_open)(paths, options, compare);
}
