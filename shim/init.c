/* init.c — the process's own state: which session it belongs to, where the workspace is, what children must be given.
 *
 * A process loaded with VCR_SPOOL in its environment belongs to that session. One without is a root: it only thinks of a
 * name for a spool, a pure function of its identity that fork children inherit in memory and programs in VCR_SPOOL, so that
 * however many processes race for the first event open one and the same file. */
#include <dlfcn.h>
#include <sys/auxv.h>
#include <sys/vfs.h>
#include "shim.h"

struct vcr_process vcr_self;
void *vcr_originals[VCR_HOOK_COUNT];

static const char *const hook_names[] = {
#define X(name) #name,
	VCR_HOOKS(X)
#undef X
};

/* Stands in for an original that this libc does not have. */
static long missing(void)
{
	errno = ENOSYS;
	return -1;
}

void *vcr_resolve(enum vcr_hook hook)
{
	void *p = dlsym(RTLD_NEXT, hook_names[hook]);
	if (!p)
		p = (void *)missing;
	__atomic_store_n(&vcr_originals[hook], p, __ATOMIC_RELAXED);
	return p;
}

/* Those that signal handlers and vfork children call: dlsym takes the loader's lock, so they are looked up beforehand. */
static void resolve_signal_safe(void)
{
#define X(name) vcr_resolve(VCR_HOOK_##name);
	VCR_HOOKS_FD(X)
	X(write) X(read) X(send) X(recv) X(open) X(open64) X(openat) X(openat64) X(rename) X(unlink) X(mkdir) X(rmdir)
	X(execve) X(execv) X(execvpe) X(fork) X(waitpid) X(_exit) X(syscall)
#undef X
}

char *vcr_format(char *at, const char *text)
{
	size_t n = strlen(text);
	memcpy(at, text, n + 1);
	return at + n;
}

char *vcr_format_number(char *at, uint64_t value, int least_digits)
{
	char digits[20];
	int n = 0;
	do
		digits[n++] = (char)('0' + value % 10);
	while ((value /= 10) || n < least_digits);
	while (n)
		*at++ = digits[--n];
	*at = 0;
	return at;
}

/* Civil date of a day number counted from 1970-01-01 (proleptic Gregorian, years of 400-year eras beginning in March). */
static void civil(uint64_t day, unsigned *year, unsigned *month, unsigned *mday)
{
	uint64_t z = day + 719468, era = z / 146097, doe = z % 146097;
	uint64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365, doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	uint64_t mp = (5 * doy + 2) / 153;
	*mday = (unsigned)(doy - (153 * mp + 2) / 5 + 1);
	*month = (unsigned)(mp < 10 ? mp + 3 : mp - 9);
	*year = (unsigned)(yoe + era * 400 + (*month <= 2));
}

/* YYYYMMDD-HHMMSS-xxxx in UTC: local time would need libc's time zone code, which allocates. The digits are a bijection of
 * the pid, so that two roots of one second differ. */
static void name_session(char *out, int pid, uint64_t seconds)
{
	unsigned y, m, d, left = (unsigned)(seconds % 86400);
	civil(seconds / 86400, &y, &m, &d);
	char *at = vcr_format_number(vcr_format_number(vcr_format_number(out, y, 4), m, 2), d, 2);
	at = vcr_format_number(vcr_format_number(vcr_format(at, "-"), left / 3600, 2), left / 60 % 60, 2);
	at = vcr_format(vcr_format_number(at, left % 60, 2), "-");
	unsigned mix = ((unsigned)pid * 40503u + (unsigned)seconds * 24683u) & 0xffff;
	for (int shift = 12; shift >= 0; shift -= 4)
		*at++ = "0123456789abcdef"[mix >> shift & 15];
	*at = 0;
}

/* $XDG_RUNTIME_DIR/vcr when that is a memory file system, else /dev/shm/vcr-<uid>. Made when the spool is: most roots never
 * need it. */
static void choose_runtime_dir(const char *xdg, char *out)
{
	enum { TMPFS = 0x01021994 };
	struct statfs fs;
	if (xdg && *xdg == '/' && strlen(xdg) < PATH_MAX - 200 && !vcr_call3(SYS_statfs, (long)xdg, (long)&fs, 0) && fs.f_type == TMPFS)
		vcr_format(vcr_format(out, xdg), "/vcr");
	else
		vcr_format_number(vcr_format(out, "/dev/shm/vcr-"), geteuid(), 1);
}

/* dir + "/" + name exists. Uses dir's buffer and restores it. */
static bool has_entry(char *dir, size_t length, const char *name)
{
	vcr_format(vcr_format(dir + length, "/"), name);
	bool there = raw_access(dir, F_OK) == 0;
	dir[length] = 0;
	return there;
}

/* Workspace: the nearest parent of start_dir with a .git, else start_dir. Returns the length of the nearest directory upward
 * inside it that has a .vcr, else the workspace's. */
static size_t find_workspace(void)
{
	char at[PATH_MAX];
	size_t length = strlen(vcr_self.start_dir), n = length > 1 ? length : 0, found = SIZE_MAX, work = n;
	if (length > PATH_MAX - 16)
		return work;
	memcpy(at, vcr_self.start_dir, length + 1);
	for (bool more = true; more; ) {
		at[n] = 0;
		if (found == SIZE_MAX && has_entry(at, n, ".vcr"))
			found = n;
		if (has_entry(at, n, ".git")) {
			work = n;
			break;
		}
		more = n > 0;
		while (n && at[--n] != '/')
			;
	}
	memcpy(vcr_self.workspace, vcr_self.start_dir, work);
	vcr_format(vcr_self.workspace + work, work ? "" : "/");
	vcr_self.workspace_length = work;
	return found != SIZE_MAX && found >= work ? found : work;
}

/* $VCR_DIR, else the one found, else WORKSPACE/.vcr. */
static void find_vcr_dir(const char *wish, size_t found)
{
	char *at = vcr_self.vcr_dir;
	if (!wish || !*wish || strlen(wish) + strlen(vcr_self.start_dir) + 2 > PATH_MAX) {
		memcpy(at, vcr_self.start_dir, found);
		vcr_format(at + found, "/.vcr");
		return;
	}
	if (*wish != '/')
		at = vcr_format(vcr_format(at, vcr_self.start_dir), "/");
	vcr_format(at, wish);
}

static bool become_root(char **env)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	vcr_self.root = true;
	vcr_self.root_pid = vcr_self.pid;
	vcr_self.start_ns = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
	if (raw_getcwd(vcr_self.start_dir, PATH_MAX) <= 0 || vcr_self.start_dir[0] != '/')
		return false;
	name_session(vcr_self.session, vcr_self.pid, (uint64_t)t.tv_sec);
	find_vcr_dir(vcr_env_get(env, "VCR_DIR"), find_workspace());
	choose_runtime_dir(vcr_env_get(env, "XDG_RUNTIME_DIR"), vcr_self.spool_path);
	char *at = vcr_format(vcr_format(vcr_self.spool_path + strlen(vcr_self.spool_path), "/"), vcr_self.session);
	vcr_format(at, ".spool");
	return true;
}

/* VCR_SPOOL=<flags>:<path>. Everything else about the session stands in the spool's header. */
static bool become_member(const char *value, bool *inserted)
{
	const char *path = strchr(value, ':');
	if (!path || path[1] != '/' || strlen(path + 1) >= PATH_MAX)
		return false;
	*inserted = *value == 'p';
	vcr_format(vcr_self.spool_path, path + 1);
	struct vcr_spool_header *h = vcr_spool(VCR_JOIN);
	if (!h)
		return false;
	vcr_self.root_pid = h->root_pid;
	memcpy(vcr_self.workspace, h->workspace, sizeof vcr_self.workspace);
	vcr_self.workspace[PATH_MAX - 1] = 0;
	size_t n = strlen(vcr_self.workspace);
	vcr_self.workspace_length = n > 1 ? n : 0;
	return true;
}

static bool find_library(void)
{
	Dl_info info;
	if (!dladdr(&vcr_self, &info) || !info.dli_fname || strlen(info.dli_fname) >= PATH_MAX / 2)
		return false;
	char *at = vcr_self.library;
	if (*info.dli_fname != '/') {
		long n = raw_getcwd(at, PATH_MAX / 2);
		if (n <= 0)
			return false;
		at = vcr_format(at + n - 1, "/");
	}
	vcr_format(at, info.dli_fname);
	vcr_self.library_name = strrchr(vcr_self.library, '/') + 1;
	return true;
}

static void prepare_environment(void)
{
	vcr_format(vcr_format(vcr_self.env_spool, VCR_ENV_SPOOL "=-:"), vcr_self.spool_path);
	vcr_format(vcr_format(vcr_self.env_spool_inserted, VCR_ENV_SPOOL "=p:"), vcr_self.spool_path);
	vcr_format(vcr_format(vcr_self.env_preload, "LD_PRELOAD="), vcr_self.library);
}

static void at_exit(int status, void *unused)
{
	vcr_before_exit((status & 0xff) << 8);
}

void vcr_init_slow(void)
{
	uint32_t fresh = 0;
	int saved = errno;
	char **env = environ;
	if (!env || !__atomic_compare_exchange_n(&vcr_self.ready, &fresh, 1, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		return;
	vcr_self.pid = raw_getpid();
	bool inserted = false;
	const char *spool = vcr_env_get(env, VCR_ENV_SPOOL);
	bool ok = !getauxval(AT_SECURE) && find_library() && (spool ? become_member(spool, &inserted) : become_root(env));
	if (ok) {
		prepare_environment();
		resolve_signal_safe();
	}
	if (spool)
		vcr_env_hide(env, inserted);
	vcr_store(&vcr_self.ready, ok ? 2 : 3);
	if (ok)
		on_exit(at_exit, NULL);
	if (ok && spool && vcr_spool_mapped())
		vcr_say_process(vcr_spool_mapped());
	errno = saved;
}

__attribute__((constructor)) static void load(void)
{
	vcr_ready();
}
