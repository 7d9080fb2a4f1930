/* exec.c — programs: each is announced, and gets the variables that keep it in the session, whatever environment the caller
 * built for it. These hooks also run in vfork children: the new environment is on the stack, nothing else is touched. */
#include <stdarg.h>
#include <sys/auxv.h>
#include "shim.h"

static void announce(uint32_t kind, int child, int error, const char *path, char *const argv[])
{
	struct vcr_scratch *s = vcr_self.sandboxed ? NULL : vcr_scratch_take();
	struct vcr_rec_exec e = { .child = child, .kind = kind, .error = error };
	struct vcr_piece piece[VCR_EXEC_ARGS + 3] = { { &e, sizeof e }, vcr_text(path), { "", 1 } };
	size_t bytes = 0;
	if (s && raw_getcwd(s->a, sizeof s->a) > 0)
		piece[2] = vcr_text(s->a);
	for (; argv && argv[e.argc] && e.argc < VCR_EXEC_ARGS; e.argc++) {
		struct vcr_piece *p = &piece[3 + e.argc];
		*p = vcr_text(argv[e.argc]);
		if ((bytes += p->size) > VCR_EXEC_BYTES)
			break;
	}
	vcr_append(VCR_REC_EXEC, 0, 0, piece, 3 + (int)e.argc, VCR_CHIME);
	if (s)
		vcr_scratch_give(s);
}

static void say_own(enum vcr_target target, const char *name, const char *what)
{
	static const char words[][24] = { [VCR_TARGET_GO] = " is of Go", [VCR_TARGET_STATIC] = " is static", [VCR_TARGET_MUSL] = " is of another libc", [VCR_TARGET_HARMED] = " takes no library" };
	struct vcr_scratch *s = strnlen(name, PATH_MAX) < PATH_MAX - strlen(what) - sizeof *words ? vcr_scratch_take() : NULL;
	if (!s)
		return;
	vcr_format(vcr_format(vcr_format(s->a, name), words[target]), what);
	struct vcr_piece piece = vcr_text(s->a);
	vcr_append(VCR_REC_LOST, 0, 0, &piece, 1, 0);
	vcr_scratch_give(s);
}

/* In a deterministic session: what libvcrdeterm.so does not reach, or does not answer. Where tools are answered: what starts some that we do not see. */
static void say_outsider(enum vcr_target target, const char *name, bool watched)
{
	if (vcr_likely(target < VCR_TARGET_GO) || vcr_self.sandboxed)
		return;
	struct vcr_spool_header *h = vcr_spool_mapped();
	if (vcr_self.companion)
		say_own(target, name, VCR_LOST_CHANCE);
	if (h && h->flags & VCR_SPOOL_ANSWERS && !watched)
		say_own(target, name, vcr_target_hands_on(target) ? VCR_LOST_SOME_TOOLS : VCR_LOST_TOOLS);
}

static bool can_run(const char *path, struct stat *st)
{
	return !raw_statat(AT_FDCWD, path, st, 0) && S_ISREG(st->st_mode) && st->st_mode & 0111;
}

/* The file that execvp would run for a name without a slash. */
static bool search(const char *name, char out[PATH_MAX], struct stat *st)
{
	const char *path = vcr_env_get(environ, "PATH");
	size_t length = strlen(name);
	for (path = path ? path : "/bin:/usr/bin";; path++) {
		size_t n = strcspn(path, ":");
		if (n + length + 2 < PATH_MAX) {
			memcpy(out, path, n);
			out[n] = 0;
			vcr_format(vcr_format(out + n, n ? "/" : "./"), name);
			if (can_run(out, st))
				return true;
		}
		path += n;
		if (!*path)
			return false;
	}
}

enum how { BY_PATH, BY_NAME, BY_FD, BY_AT };
struct program {
	enum how how;
	const char *name;
	int dir, flags;       /* BY_AT; BY_FD: dir is the program */
	char *const *argv, *const *env;
	int32_t lender;       /* it runs already, and is to begin anew: as vcr_lend_whom says; else 0 */
};

/* What changes names there, nobody is told of (names.c). It may be the first program of the session, whose spool would be made a moment later. */
static void note_stranger(enum vcr_target target)
{
	struct vcr_spool_header *h = vcr_likely(target == VCR_TARGET_TAKES) ? NULL : vcr_spool(VCR_MAKE);
	if (h)
		vcr_store(&h->strangers, 1);
}

/* Is there such a program, and how does it take a preload? */
static bool look(const struct program *p, enum vcr_target *target, bool *named)
{
	*target = VCR_TARGET_TAKES;
	*named = false;
	if (vcr_self.sandboxed)
		return true;
	if (p->how == BY_FD) {
		*target = vcr_elf_target("", p->dir);
		return true;
	}
	struct vcr_scratch *s = p->name ? vcr_scratch_take() : NULL;
	if (!s)
		return p->name != NULL;
	struct vcr_spool_header *h = vcr_spool_mapped();
	const char *file = p->name;
	struct stat st;
	bool found;
	if (p->how == BY_AT && *p->name && *p->name != '/')
		found = vcr_path_absolute(p->dir, p->name, s->a) && can_run(file = s->a, &st);
	else if (p->how == BY_AT && !*p->name)
		found = vcr_path_of_fd(p->dir, s->a) && can_run(file = s->a, &st);
	else if (p->how == BY_NAME && raw_access(file, F_OK) != -EFAULT && !strchr(file, '/'))
		found = search(p->name, s->a, &st) && (file = s->a);
	else
		found = can_run(file, &st);
	if (found)
		*target = vcr_elf_target_known(file, &st, named, h ? h->targets : NULL);
	vcr_scratch_give(s);
	return found;
}

static int call(const struct program *p, char *const env[])
{
	switch (p->how) {
	case BY_NAME: return VCR_REAL(execvpe)(p->name, p->argv, env);
	case BY_FD: return VCR_REAL(fexecve)(p->dir, p->argv, env);
	case BY_AT: return VCR_REAL(execveat)(p->dir, p->name, p->argv, env, p->flags);
	default: return VCR_REAL(execve)(p->name, p->argv, env);
	}
}

/* The place in header.users goes over to the new program, so that the session does not look deserted while it is loaded. A vfork child has
 * none yet; a program that cannot join takes none. !pass: the exec failed, back again. */
static void pass_place(enum vcr_target target, bool pass)
{
	if (vcr_guest_seen())
		vcr_spool_count(!vcr_target_takes(target) ? 0 : pass ? 1 : -1);
	else if (!vcr_target_takes(target) && pass)
		vcr_spool_leave();
	else if (!vcr_target_takes(target))
		vcr_spool_rejoin();
}

/* A gate that has ended is a dead end only in a replay, and is meant to be one. */
/* becomes: this process will be that program. */
static bool is_lent(enum vcr_target target, bool becomes, struct vcr_lend *terms)
{
	if (vcr_likely(!vcr_target_is_lent(target)) || vcr_self.sandboxed)
		return false;
	vcr_gate_for_child();
	struct vcr_spool_header *h = vcr_spool_mapped();
	if (!h || vcr_load(&h->gate.state) == VCR_LEAD_NONE)
		return false;
	if (!(vcr_lead_open(&h->gate) || vcr_load(&h->gate.flags) & VCR_LEAD_REPLAY) || !vcr_lend_terms(&h->gate, becomes ? raw_getpid() : 0, terms))
		return false;
	__atomic_fetch_add(&h->gate.lent, 1, __ATOMIC_RELAXED);
	return true;
}

/* One that was found by its name, or by a path. */
static bool stands(const struct program *p, bool spawns, struct vcr_stand *s)
{
	return p->lender ? vcr_stand_wanted_here(p->lender, s) : vcr_stand_wanted(spawns, s) && (p->how <= BY_NAME || s->answers);
}

/* One that is lent the gate starts its tools unseen. */
static bool is_watched(const struct program *p, bool lends, const char *name, struct vcr_stand *s)
{
	struct stat st;
	bool named = p->how == BY_FD ? can_run(name, &st) : p->how == BY_AT ? p->name && *p->name == '/' : p->name != NULL;
	return vcr_unlikely(lends) && named && vcr_stand_watches(s);
}

/* By its path the kernel alone runs it, or says that it is no program; libc hands what it looks for by name to a shell then. */
static int error_of(const struct program *p)
{
	return p->how == BY_PATH && !vcr_self.sandboxed ? vcr_elf_error(p->name) : 0;
}

/* Where it lies, if it is looked for by its name: in the environment of this process, not in the one that it gets. */
static const char *file_of(const struct program *p, char file[PATH_MAX])
{
	struct stat st;
	return p->how == BY_NAME && !vcr_self.sandboxed && !strchr(p->name, '/') && search(p->name, file, &st) ? file : p->name;
}

static size_t count(char *const argv[])
{
	size_t n = 0;
	while (argv && argv[n])
		n++;
	return n;
}

/* p is about to become that program; through: by it. Returns if it does not. */
static int begin(const struct program *p, const struct program *through, uint32_t kind, enum vcr_target target, const char *name, char *const env[])
{
	int pid = vcr_guest_seen() ? raw_getpid() : vcr_self.pid;
	announce(VCR_EXEC_REPLACE | kind, pid, pid != vcr_self.pid ? vcr_self.pid : 0, name, p->argv);
	pass_place(target, true);
	int r = call(through, env), saved = errno;
	pass_place(target, false);
	announce(VCR_EXEC_FAILED, pid, saved, name, NULL);
	errno = saved;
	return r;
}

static int become(const struct program *p)
{
	enum vcr_target target;
	bool named;
	struct vcr_stand stand;
	if (!vcr_ready() || !look(p, &target, &named))
		return call(p, p->env);
	note_stranger(target);
	struct vcr_lend terms;
	bool lends = is_lent(target, true, &terms);
	char *env[vcr_env_count(p->env) + VCR_ENV_ROOM + VCR_LEND_ROOM + 1], text[vcr_env_text_size(p->env) + 1], lent[lends ? vcr_lend_text_size(&terms, p->env) : 1];
	const char *name = p->name ? p->name : "";
	char of_fd[PATH_MAX];
	if (p->how == BY_FD && vcr_path_of_fd(p->dir, of_fd))
		name = of_fd;
	bool tool = stands(p, false, &stand);
	int none = tool ? error_of(p) : 0;
	if (none && stand.answers) {
		errno = none;
		return -1;
	}
	tool = tool && !none;
	bool watched = !tool && is_watched(p, lends, name, &stand), stood = tool || watched;
	char *argv[stood ? count(p->argv) + VCR_STAND_ROOM : 1], file[stood ? PATH_MAX : 1];
	struct program through = { .how = BY_PATH, .name = stand.program, .argv = argv };
	vcr_env_fill(p->env, target, named && !stood && p->how == BY_PATH, env, text);
	if (lends)
		vcr_lend(&terms, env, lent);
	if (stood)
		vcr_stand(&stand, target, p->how == BY_NAME, p->how == BY_FD ? name : file_of(p, file), p->argv, env, argv);
	if (tool && stand.answers)
		target = VCR_TARGET_HARMED; /* the library is not for the stand-in, only for a program that it may become after all */
	if (!(tool && stand.answers))
		say_outsider(target, name, watched);
	int r = begin(p, stood ? &through : p, tool ? stand.early ? VCR_EXEC_EARLY : VCR_EXEC_TOOL : 0, target, name, env);
	return tool && !p->lender && vcr_stand_forgone(&stand, env, argv) ? begin(p, p, 0, target, name, env) : r;
}

/* By the name that it was started by, if that is still the same file and no script's. */
static const char *own_file(char exe[PATH_MAX])
{
	const char *name = (const char *)getauxval(AT_EXECFN);
	struct stat a, b;
	long n = raw_readlink("/proc/self/exe", exe, PATH_MAX - 1);
	exe[n > 0 ? n : 0] = 0;
	if (n <= 0 || raw_statat(AT_FDCWD, "/proc/self/exe", &a, 0))
		return NULL;
	bool same = name && *name == '/' && !raw_statat(AT_FDCWD, name, &b, 0) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
	return same ? name : !raw_statat(AT_FDCWD, exe, &b, 0) && a.st_dev == b.st_dev && a.st_ino == b.st_ino ? exe : NULL;
}

/* A program that starts itself again, to start a tool in a sandbox or as a service of its own, is the same as far as its tools go. */
static bool is_same_program(int32_t a, int32_t b)
{
	char path[40];
	struct stat one, two;
	if (a <= 0 || b <= 0)
		return false;
	vcr_format(vcr_format_number(vcr_format(path, "/proc/"), (uint64_t)a, 1), "/exe");
	if (raw_statat(AT_FDCWD, path, &one, 0))
		return false;
	vcr_format(vcr_format_number(vcr_format(path, "/proc/"), (uint64_t)b, 1), "/exe");
	return !raw_statat(AT_FDCWD, path, &two, 0) && one.st_dev == two.st_dev && one.st_ino == two.st_ino;
}

void vcr_exec_stand_in(char *const argv[])
{
	struct vcr_stand s;
	char exe[PATH_MAX];
	int32_t parent = (int32_t)vcr_call3(SYS_getppid, 0, 0, 0), lender = vcr_self.lender;
	int saved = errno;
	if (vcr_guest() || (lender != parent && lender != VCR_SPOKE_UNNAMED && !is_same_program(lender, parent)) || !vcr_stand_wanted_here(lender, &s))
		return;
	const char *file = own_file(exe);
	vcr_self.said = 1; /* what it will be says so itself */
	struct vcr_piece piece = { &parent, sizeof parent };
	vcr_append(VCR_REC_FORK, 0, 0, &piece, 1, 0);
	if (file)
		become(&(struct program){ .how = BY_PATH, .name = file, .argv = argv, .env = environ, .lender = lender });
	vcr_self.said = 0;
	if (s.answers)
		say_own(VCR_TARGET_TAKES, file ? file : exe, VCR_LOST_TOOL);
	errno = saved;
}

int execve(const char *path, char *const argv[], char *const env[])
{
	return become(&(struct program){ .how = BY_PATH, .name = path, .argv = argv, .env = env });
}

int execv(const char *path, char *const argv[])
{
	return become(&(struct program){ .how = BY_PATH, .name = path, .argv = argv, .env = environ });
}

int execvp(const char *name, char *const argv[])
{
	return become(&(struct program){ .how = BY_NAME, .name = name, .argv = argv, .env = environ });
}

int execvpe(const char *name, char *const argv[], char *const env[])
{
	return become(&(struct program){ .how = BY_NAME, .name = name, .argv = argv, .env = env });
}

int fexecve(int fd, char *const argv[], char *const env[])
{
	return become(&(struct program){ .how = BY_FD, .dir = fd, .argv = argv, .env = env });
}

int execveat(int dir, const char *path, char *const argv[], char *const env[], int flags)
{
	return become(&(struct program){ .how = BY_AT, .name = path, .dir = dir, .flags = flags, .argv = argv, .env = env });
}

/* The list forms count their arguments, then lay them out on the stack. */
static size_t count_args(va_list ap)
{
	size_t n = 1;
	while (va_arg(ap, char *))
		n++;
	return n;
}

static void take_args(va_list ap, char **argv, const char *first, size_t n)
{
	argv[0] = (char *)first;
	for (size_t i = 1; i <= n; i++)
		argv[i] = va_arg(ap, char *);
}

int execl(const char *path, const char *arg, ...)
{
	va_list ap;
	va_start(ap, arg);
	size_t n = arg ? count_args(ap) : 0;
	va_end(ap);
	char *argv[n + 1];
	va_start(ap, arg);
	take_args(ap, argv, arg, n);
	va_end(ap);
	return execv(path, argv);
}

int execlp(const char *name, const char *arg, ...)
{
	va_list ap;
	va_start(ap, arg);
	size_t n = arg ? count_args(ap) : 0;
	va_end(ap);
	char *argv[n + 1];
	va_start(ap, arg);
	take_args(ap, argv, arg, n);
	va_end(ap);
	return execvp(name, argv);
}

int execle(const char *path, const char *arg, ...)
{
	va_list ap;
	va_start(ap, arg);
	size_t n = arg ? count_args(ap) : 0;
	va_end(ap);
	char *argv[n + 1];
	va_start(ap, arg);
	take_args(ap, argv, arg, n);
	char *const *env = va_arg(ap, char *const *);
	va_end(ap);
	return execve(path, argv, env);
}

/* ---- spawn ---- */

/* With a directory of its own the child may find what we do not. */
static bool may_be_there(const char *name, const posix_spawn_file_actions_t *acts)
{
	return acts && name && *name != '/' && strchr(name, '/');
}

static int spawn(vcr_spawn_call *real, enum how how, pid_t *pid, const char *name, const posix_spawn_file_actions_t *acts,
	const posix_spawnattr_t *attr, char *const argv[], char *const given[])
{
	struct program p = { .how = how, .name = name, .argv = argv, .env = given };
	enum vcr_target target;
	struct vcr_stand stand;
	pid_t child = 0;
	bool named, found = vcr_ready() && look(&p, &target, &named);
	if (!vcr_ready() || (!found && !acts))
		return real(pid, name, acts, attr, argv, given);
	bool tool = (found || may_be_there(name, acts)) && stands(&p, true, &stand) && (found || stand.answers);
	int none = tool && found ? error_of(&p) : 0;
	if (none && stand.answers)
		return none;
	tool = tool && !none;
	struct vcr_lend terms;
	bool lends = is_lent(target, false, &terms), watched = !tool && found && is_watched(&p, lends, name, &stand), stood = tool || watched;
	char *through[stood ? count(argv) + VCR_STAND_ROOM : 1], file[stood ? PATH_MAX : 1];
	char *env[vcr_env_count(given) + VCR_ENV_ROOM + VCR_LEND_ROOM + 1], text[vcr_env_text_size(given) + 1], lent[lends ? vcr_lend_text_size(&terms, given) : 1];
	vcr_env_fill(given, target, named && !stood && !acts && how == BY_PATH, env, text);
	if (lends)
		vcr_lend(&terms, env, lent);
	if (stood)
		vcr_stand(&stand, target, how == BY_NAME, file_of(&p, file), argv, env, through);
	if (tool && stand.answers)
		target = VCR_TARGET_HARMED;
	vcr_spool(VCR_MAKE); /* the child has to find it */
	note_stranger(target);
	vcr_spool_count(vcr_target_takes(target));
	int r = stood ? VCR_REAL(posix_spawn)(&child, stand.program, acts, attr, through, env) : real(&child, name, acts, attr, argv, env);
	if (r && tool && vcr_stand_forgone(&stand, env, through)) {
		tool = false;
		r = real(&child, name, acts, attr, argv, env);
	}
	if (r)
		vcr_spool_count(-vcr_target_takes(target));
	if (r == 0) {
		if (pid)
			*pid = child;
		if (!(tool && stand.answers))
			say_outsider(target, name, watched);
		announce(VCR_EXEC_SPAWN | (tool ? stand.early ? VCR_EXEC_EARLY : VCR_EXEC_TOOL : 0), child, 0, name, argv);
	}
	return r;
}

int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *acts, const posix_spawnattr_t *attr,
	char *const argv[], char *const env[])
{
	return spawn(VCR_REAL(posix_spawn), BY_PATH, pid, path, acts, attr, argv, env);
}

int posix_spawnp(pid_t *pid, const char *name, const posix_spawn_file_actions_t *acts, const posix_spawnattr_t *attr,
	char *const argv[], char *const env[])
{
	return spawn(VCR_REAL(posix_spawnp), BY_NAME, pid, name, acts, attr, argv, env);
}

int vcr_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *acts, const posix_spawnattr_t *attr, char *const argv[])
{
	return spawn(VCR_REAL(posix_spawn), BY_PATH, pid, path, acts, attr, argv, environ);
}
