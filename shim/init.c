/* init.c — the process's own state: which session it belongs to, where the workspace is, what children must be given.
 *
 * A process loaded with VCR_SPOOL in its environment belongs to that session. One without is a root: it only thinks of a
 * name for a spool, a pure function of its identity that fork children inherit in memory and programs in VCR_SPOOL, so that
 * however many processes race for the first event open one and the same file. */
#include <dlfcn.h>
#include <link.h>
#include <stdarg.h>
#include <sys/auxv.h>
#include <sys/vfs.h>
#include "shim.h"

VCR_HOT struct vcr_process vcr_self;
VCR_HOT void *vcr_originals[VCR_HOOK_COUNT];

/* The names one after the other, without a pointer to each that the loader would have to relocate. */
static const struct {
#define X(name) char name##_[sizeof #name];
	VCR_HOOKS(X)
#undef X
} hook_names = {
#define X(name) #name,
	VCR_HOOKS(X)
#undef X
};
static const uint16_t hook_name_at[] = {
#define X(name) offsetof(__typeof__(hook_names), name##_),
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
	void *p = dlsym(RTLD_NEXT, (const char *)&hook_names + hook_name_at[hook]);
	if (!p)
		p = (void *)missing;
	__atomic_store_n(&vcr_originals[hook], p, __ATOMIC_RELAXED);
	return p;
}

void vcr_resolve_for_child(void)
{
#define X(name) vcr_original(VCR_HOOK_##name);
	X(close) X(close_range) X(dup2) X(chdir) X(execve) X(execvpe) X(_exit)
#undef X
}

void vcr_resolve_libc(void)
{
	static uint32_t done;
	if (vcr_load(&done))
		return;
#define X(name) VCR_HOOK_##name,
	static const uint16_t hooks[] = { VCR_HOOKS_LIBC(X) };
#undef X
	for (size_t i = 0; i < sizeof hooks / sizeof *hooks; i++) {
		void *p = vcr_load(&vcr_originals[hooks[i]]);
		if (!p && (p = dlsym(RTLD_NEXT, (const char *)&hook_names + hook_name_at[hooks[i]])))
			__atomic_store_n(&vcr_originals[hooks[i]], p, __ATOMIC_RELAXED);
	}
	vcr_store(&done, 1);
}

/* The kernel's own is as quick as a few page faults are slow: most programs have ended before they would have made up for those of the vDSO. */
uint64_t vcr_now(void)
{
	static VCR_HOT uint32_t asked;
	enum { BY_CALL = 6 };
	struct timespec t;
	if (vcr_likely(__atomic_load_n(&asked, __ATOMIC_RELAXED) >= BY_CALL) || vcr_self.sandboxed)
		clock_gettime(CLOCK_MONOTONIC, &t);
	else {
		__atomic_fetch_add(&asked, 1, __ATOMIC_RELAXED);
		vcr_call3(SYS_clock_gettime, CLOCK_MONOTONIC, (long)&t, 0);
	}
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
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

/* Room for n bytes that stay for the life of the process; NULL when it is used up. */
static char *keep(size_t n)
{
	static char more[10 * PATH_MAX];
	static VCR_HOT size_t of_near, of_more;
	if (n <= sizeof vcr_near.texts - of_near) {
		of_near += n;
		return vcr_near.texts + of_near - n;
	}
	if (n > sizeof more - of_more)
		return NULL;
	of_more += n;
	return more + of_more - n;
}

/* The texts of a NULL-terminated list, joined and kept. */
static char *keep_text(const char *first, ...)
{
	va_list ap;
	size_t n = 1;
	va_start(ap, first);
	for (const char *p = first; p; p = va_arg(ap, const char *))
		n += strlen(p);
	va_end(ap);
	char *kept = n < PATH_MAX ? keep(n) : NULL, *at = kept;
	va_start(ap, first);
	for (const char *p = first; at && p; p = va_arg(ap, const char *))
		at = vcr_format(at, p);
	va_end(ap);
	return kept;
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
static const char *spool_path(const char *xdg, const char *session)
{
	enum { TMPFS = 0x01021994 };
	struct statfs fs;
	char own[40];
	if (xdg && *xdg == '/' && strlen(xdg) < PATH_MAX - 200 && !vcr_call3(SYS_statfs, (long)xdg, (long)&fs, 0) && fs.f_type == TMPFS)
		return keep_text(xdg, "/vcr/", session, ".spool", NULL);
	vcr_format_number(vcr_format(own, "/dev/shm/vcr-"), raw_geteuid(), 1);
	return keep_text(own, "/", session, ".spool", NULL);
}

/* dir + "/" + name exists. Uses dir's buffer and restores it. */
static bool has_entry(char *dir, size_t length, const char *name)
{
	vcr_format(vcr_format(dir + length, "/"), name);
	bool there = raw_access(dir, F_OK) == 0;
	dir[length] = 0;
	return there;
}

/* Workspace: the nearest parent of dir with a .git, else dir. *found: length of the nearest directory upward inside it that
 * has a .vcr, else the workspace's. dir is cut and restored. Returns the workspace's length, 0 for "/". */
static size_t find_workspace(char *dir, size_t *found)
{
	size_t length = strlen(dir), n = length > 1 ? length : 0, work = n;
	char kept[sizeof "/.vcr"];
	*found = SIZE_MAX;
	for (bool more = true; more; ) {
		memcpy(kept, dir + n, sizeof kept);
		if (*found == SIZE_MAX && has_entry(dir, n, ".vcr"))
			*found = n;
		bool top = has_entry(dir, n, ".git");
		memcpy(dir + n, kept, sizeof kept);
		if (top) {
			work = n;
			break;
		}
		more = n > 0;
		while (n && dir[--n] != '/')
			;
	}
	if (*found == SIZE_MAX || *found < work)
		*found = work;
	return work;
}

static void find_places(char *dir, const char *wish)
{
	size_t found, work = find_workspace(dir, &found);
	char cut = dir[work];
	vcr_self.start_dir = keep_text(dir, NULL);
	dir[work] = 0;
	vcr_self.workspace = keep_text(work ? dir : "/", NULL);
	vcr_self.workspace_length = work;
	dir[work] = cut;
	if (wish && *wish) {
		vcr_self.vcr_dir = *wish == '/' ? keep_text(wish, NULL) : keep_text(dir, "/", wish, NULL);
		return;
	}
	dir[found] = 0;
	vcr_self.vcr_dir = keep_text(dir, "/.vcr", NULL);
}

static bool become_root(char **env)
{
	struct timespec t;
	struct vcr_scratch *s = vcr_scratch_take();
	clock_gettime(CLOCK_REALTIME, &t);
	vcr_self.root = true;
	vcr_self.root_pid = vcr_self.pid;
	name_session(vcr_self.session, vcr_self.pid, (uint64_t)t.tv_sec);
	if (s && raw_getcwd(s->a, sizeof s->a - 16) > 0 && s->a[0] == '/')
		find_places(s->a, vcr_env_get(env, "VCR_DIR"));
	if (s)
		vcr_scratch_give(s);
	vcr_self.spool_path = spool_path(vcr_env_get(env, "XDG_RUNTIME_DIR"), vcr_self.session);
	return vcr_self.start_dir && vcr_self.workspace && vcr_self.vcr_dir && vcr_self.spool_path;
}

/* In a program that does little, looking up a function of libc takes longer than what that does to a few dozen bytes. */
static bool ends(const char *text, size_t room)
{
	size_t n = 0;
	while (n < room && text[n])
		n++;
	return n < room;
}

static size_t name_at(const char *path)
{
	size_t n = 0;
	for (size_t i = 0; path[i]; i++)
		if (path[i] == '/')
			n = i + 1;
	return n;
}

static bool is_text(const char *a, const char *b)
{
	for (; *a && *a == *b; a++)
		b++;
	return *a == *b;
}

/* vcr-record has made it, beside the spool. */
static void find_notes(const struct vcr_spool_header *h)
{
	if (!(h->flags & VCR_SPOOL_BY_RECORD) || !ends(h->session, sizeof h->session))
		return;
	size_t n = name_at(vcr_self.spool_path);
	char *path = keep(n + strlen(h->session) + sizeof ".notes");
	if (!path)
		return;
	memcpy(path, vcr_self.spool_path, n);
	vcr_format(vcr_format(path + n, h->session), ".notes");
	vcr_self.notes_path = path;
}

/* VCR_SPOOL=<flags>:<path>. Everything else about the session stands in the spool's header. */
static bool become_member(const char *value)
{
	const char *path = value;
	while (*path && *path != ':')
		path++;
	if (!*path || path[1] != '/' || !(vcr_self.spool_path = keep_text(path + 1, NULL)))
		return false;
	vcr_self.joined = (vcr_env_flags(value) & VCR_ENV_COUNTED) != 0;
	struct vcr_spool_header *h = vcr_spool(VCR_JOIN);
	const char *workspace = !h ? NULL : *h->workspace_near && ends(h->workspace_near, sizeof h->workspace_near) ? h->workspace_near : ends(h->workspace, sizeof h->workspace) ? h->workspace : NULL;
	if (!workspace || !(vcr_self.workspace = keep_text(workspace, NULL)))
		return false;
	vcr_self.root_pid = h->root_pid;
	find_notes(h);
	size_t n = strlen(vcr_self.workspace);
	vcr_self.workspace_length = n > 1 ? n : 0;
	return true;
}

extern const char __ehdr_start[] __attribute__((visibility("hidden"))); /* ld(1): where we begin */

static int is_us(struct dl_phdr_info *module, size_t size, void *name)
{
	if (module->dlpi_addr != (uintptr_t)__ehdr_start)
		return 0;
	*(const char **)name = module->dlpi_name;
	return 1;
}

/* The name by which we were loaded. dladdr would look at each of our symbols for it. */
static const char *loaded_as(void)
{
	const char *name = NULL;
	dl_iterate_phdr(is_us, &name);
	return name;
}

static bool find_library(void)
{
	const char *name = loaded_as();
	if (!name || !*name)
		return false;
	struct vcr_scratch *s = *name == '/' ? NULL : vcr_scratch_take();
	if (*name == '/')
		vcr_self.library = keep_text(name, NULL);
	else if (s && raw_getcwd(s->a, sizeof s->a) > 0)
		vcr_self.library = keep_text(s->a, "/", name, NULL);
	if (s)
		vcr_scratch_give(s);
	vcr_self.library_name = vcr_self.library ? vcr_self.library + name_at(vcr_self.library) : NULL;
	return vcr_self.library != NULL;
}

/* Whoever asks for --deterministic puts it there, from the directory where we are. */
static void find_companion(char *const env[])
{
	static const char name[] = "libvcrdeterm.so";
	const char *list = vcr_env_get(env, "LD_PRELOAD"), *at = list && !is_text(list, vcr_self.library) ? strstr(list, name) : NULL;
	size_t n = (size_t)(vcr_self.library_name - vcr_self.library);
	struct vcr_scratch *s = at && (size_t)(at - list) >= n && !memcmp(at - n, vcr_self.library, n) && n + sizeof name <= PATH_MAX ? vcr_scratch_take() : NULL;
	if (!s)
		return;
	memcpy(s->a, vcr_self.library, n);
	vcr_format(s->a + n, name);
	vcr_self.companion = keep_text(s->a, NULL);
	vcr_scratch_give(s);
}

static bool prepare_environment(void)
{
	const char *more = vcr_self.companion;
	return (vcr_self.env_preload = keep_text("LD_PRELOAD=", vcr_self.library, more ? ":" : NULL, more, NULL)) != NULL;
}

static void at_exit(int status, void *unused)
{
	vcr_before_exit((status & 0xff) << 8);
}

VCR_EARLY void vcr_init_slow(void)
{
	uint32_t fresh = 0;
	int saved = errno;
	char **env = environ;
	if (!env || !__atomic_compare_exchange_n(&vcr_self.ready, &fresh, 1, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		return;
	vcr_self.pid = vcr_self.image = raw_getpid();
	char *spool = vcr_env_get(env, VCR_ENV_SPOOL);
	unsigned flags = spool ? vcr_env_flags(spool) : 0;
	vcr_self.within = flags & VCR_ENV_WITHIN;
	vcr_self.named = flags & VCR_ENV_NAMED;
	bool ok = !getauxval(AT_SECURE) && find_library() && (spool ? become_member(spool) : become_root(env));
	if (ok && spool)
		find_companion(env);
	ok = ok && prepare_environment();
	if (flags & VCR_ENV_STACK)
		vcr_env_keep(spool);
	else if (spool)
		vcr_env_hide(env, flags & VCR_ENV_INSERTED);
	if (!(flags & VCR_ENV_STACK)) {
		vcr_self.lender = vcr_lend_whom(env);
		vcr_lend_back(env);
	}
	bool tapped = ok && vcr_tap_program();
	vcr_store(&vcr_self.ready, ok ? 2 : 3);
	if (ok) {
		vcr_gate_program(tapped);
		on_exit(at_exit, NULL);
	}
	if (ok && spool) {
		vcr_rpc_watch();
		vcr_sock_inherited();
	}
	if (ok && spool && vcr_spool_mapped() && !vcr_self.lender)
		vcr_say_process(vcr_spool_mapped());
	errno = saved;
}

/* libc hands its constructors what it hands main. */
__attribute__((constructor)) static void load(int argc, char *const argv[], char *const env[])
{
	/* What was lent to it has been taken back before it says who it is: the kernel knows of it then. */
	bool whole = env == environ && !vcr_env_get(env, VCR_ENV_LENT);
	vcr_say_process_from(argv, whole ? env : NULL);
	bool ready = vcr_ready();
	vcr_say_process_from(NULL, NULL);
	if (!ready || vcr_likely(!vcr_self.lender))
		return;
	vcr_exec_stand_in(argv);
	if (vcr_spool_mapped())
		vcr_say_process(vcr_spool_mapped());
}
