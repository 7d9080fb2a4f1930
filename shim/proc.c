/* proc.c — processes: how they begin and how they end. */
#include <stdarg.h>
#include "shim.h"

/* What the loader gave to our constructor, while that runs: nobody has changed it, and no other thread is there. NULL: ask the kernel. */
static VCR_HOT char *const *arguments, *const *variables;

VCR_EARLY void vcr_say_process_from(char *const argv[], char *const env[])
{
	arguments = argv;
	variables = env;
}

/* NUL-separated arguments: whole ones only. */
VCR_EARLY static uint32_t copy_arguments(char *out, size_t room, size_t *size)
{
	uint32_t count = 0;
	*size = 0;
	for (size_t n; arguments[count] && (n = strlen(arguments[count]) + 1) <= room - *size; count++) {
		memcpy(out + *size, arguments[count], n);
		*size += n;
	}
	return count;
}

/* Likewise from /proc/self/cmdline. */
VCR_EARLY static uint32_t read_arguments(char *out, size_t room, size_t *size)
{
	if (arguments)
		return copy_arguments(out, room, size);
	int fd = raw_open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC, 0);
	long n = fd >= 0 ? raw_read(fd, out, room) : 0;
	uint32_t count = 0;
	if (fd >= 0)
		raw_close(fd);
	*size = 0;
	for (long i = 0; i < n; i++)
		if (!out[i]) {
			count++;
			*size = (size_t)i + 1;
		}
	return count;
}

/* Does that word stand there, in large letters or small ones? */
VCR_EARLY static bool is_word(const char *p, const char *word)
{
	for (; *word && (*p == *word || *p == *word + ('a' - 'A')); word++)
		p++;
	return !*word;
}

VCR_EARLY static bool begins_secret(const char *p)
{
	switch (*p & ~('a' - 'A')) {
	case 'K': return is_word(p, "KEY");
	case 'T': return is_word(p, "TOKEN");
	case 'S': return is_word(p, "SECRET");
	case 'P': return is_word(p, "PASS");
	case 'C': return is_word(p, "CREDENTIAL");
	case 'A': return is_word(p, "AUTHORIZATION");
	case '_': return is_word(p, "_PWD") || is_word(p, "_PAT");
	default: return false;
	}
}

/* Eight at a time: environments are long, and it is done as each program begins. */
VCR_EARLY static bool has_at_sign(const char *p, size_t n)
{
	const uint64_t ones = ~(uint64_t)0 / 255, signs = ones * '@';
	uint64_t word;
	for (; n >= sizeof word; n -= sizeof word, p += sizeof word) {
		memcpy(&word, p, sizeof word);
		word ^= signs;
		if (vcr_unlikely((word - ones) & ~word & ones << 7))
			return true;
	}
	while (n--)
		if (*p++ == '@')
			return true;
	return false;
}

/* scheme://user:password@host */
VCR_EARLY static bool holds_password(const char *value, size_t n)
{
	if (vcr_likely(!has_at_sign(value, n)))
		return false;
	bool url = false;
	for (; *value; value++) {
		url |= *value == ':' && value[1] == '/' && value[2] == '/';
		if (url && *value == '@')
			return true;
	}
	return false;
}

/* By its name, or by its value. *whole: its size with the NUL. What no secret's word begins with is passed by two characters at once: every branch is still
 * mispredicted then. */
VCR_EARLY static bool sounds_secret(const char *variable, size_t *whole)
{
#define LETTER(c) (1u << ((c) & 31))
	static const uint32_t first = LETTER('K') | LETTER('T') | LETTER('S') | LETTER('P') | LETTER('C') | LETTER('A') | LETTER('_'),
		second = LETTER('E') | LETTER('O') | LETTER('A') | LETTER('R') | LETTER('U') | LETTER('P');
#undef LETTER
	const char *p = variable;
	size_t n = strlen(variable);
	bool secret = false;
	*whole = n + 1;
	for (; *p && *p != '='; p++)
		if (vcr_unlikely(first >> (p[0] & 31) & second >> (p[1] & 31) & 1))
			secret |= begins_secret(p);
	return *p && (secret || holds_password(p, n - (size_t)(p - variable)));
}

/* Variables that may hold a secret, NUL-separated, whole ones only; one that does not fit is left out. */
VCR_EARLY static size_t copy_secrets(char *out, size_t room)
{
	size_t used = 0;
	for (char *const *v = variables; *v; v++) {
		size_t whole;
		if (sounds_secret(*v, &whole) && whole <= room - used) {
			memcpy(out + used, *v, whole);
			used += whole;
		}
	}
	return used;
}

/* From /proc/self/environ: `environ` itself may be changed by another thread just now. */
VCR_EARLY static size_t read_secrets(char *out, size_t room, char *buffer, size_t size)
{
	if (variables)
		return copy_secrets(out, room);
	int fd = raw_open("/proc/self/environ", O_RDONLY | O_CLOEXEC, 0);
	size_t have = 0, used = 0;
	bool cut = false; /* what the buffer begins with is the rest of a variable that did not fit */
	long n;
	while (fd >= 0 && (n = raw_read(fd, buffer + have, size - have)) > 0) {
		size_t at = 0;
		have += (size_t)n;
		for (; memchr(buffer + at, 0, have - at); cut = false) {
			size_t whole;
			bool secret = sounds_secret(buffer + at, &whole);
			if (!cut && secret && whole <= room - used) {
				memcpy(out + used, buffer + at, whole);
				used += whole;
			}
			at += whole;
		}
		cut = cut || (!at && have == size);
		have = cut ? 0 : have - at;
		memmove(buffer, buffer + at, have);
	}
	if (fd >= 0)
		raw_close(fd);
	return used;
}

/* Texts behind each other, so that few pages are touched that nobody has written to yet; where less than PATH_MAX is left in a scratch, in the next one. */
struct room { char *at, *end; struct vcr_scratch **next; };

/* n bytes and a NUL are taken; what comes then has PATH_MAX. */
static char *take_room(struct room *r, size_t n)
{
	r->at += n + 1;
	if (r->end - r->at < PATH_MAX) {
		r->at = (*r->next)->a;
		r->end = r->at + sizeof **r->next++;
	}
	return r->at;
}

VCR_EARLY void vcr_say_process(struct vcr_spool_header *h)
{
	enum { SCRATCHES = 4 }; /* two paths and two texts need two and a half at most; the last one is read_secrets' */
	uint32_t no = 0;
	if (vcr_self.sandboxed || vcr_guest_seen() || !__atomic_compare_exchange_n(&vcr_self.said, &no, 1, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		return;
	struct vcr_scratch *s[SCRATCHES];
	int n = 0;
	while (n < SCRATCHES && (s[n] = vcr_scratch_take()))
		n++;
	if (n == SCRATCHES) {
		struct room r = { .at = s[0]->a, .end = s[0]->a + sizeof **s, .next = s + 1 };
		char *program = r.at;
		vcr_own_program(program);
		take_room(&r, strlen(program));
		char *cwd = r.at;
		if (raw_getcwd(cwd, PATH_MAX) <= 0)
			*cwd = 0;
		size_t size, secret;
		char *args = take_room(&r, strlen(cwd));
		uint32_t argc = read_arguments(args, PATH_MAX, &size);
		char *secrets = take_room(&r, size);
		secret = read_secrets(secrets, PATH_MAX, s[SCRATCHES - 1]->a, sizeof s[0]->a);
		struct vcr_rec_proc p = { .ppid = (int32_t)vcr_call3(SYS_getppid, 0, 0, 0), .argc = argc };
		struct vcr_piece piece[5] = { { &p, sizeof p }, vcr_text(program), vcr_text(cwd), { args, size }, { secrets, secret } };
		vcr_append(VCR_REC_PROC, 0, 0, piece, 5, VCR_CHIME);
	}
	while (n--)
		vcr_scratch_give(s[n]);
}

/* In a fork child: this memory is ours now. */
static void child_begins(int32_t parent)
{
	struct vcr_spool_header *h = vcr_spool_mapped();
	vcr_scratch_forget();
	vcr_names_forget();
	vcr_cwd_forget();
	vcr_self.pid = raw_getpid();
	vcr_self.joined = 0;
	if (!h) {
		vcr_self.said = 0; /* its first record will introduce it */
		return;
	}
	vcr_self.first_conn = vcr_load(&h->next_conn);
	vcr_spool_rejoin();
	struct vcr_piece piece = { &parent, sizeof parent };
	vcr_append(VCR_REC_FORK, 0, 0, &piece, 1, 0);
}

/* Who forks: our process, or a vfork child of it. It knows itself before it does: two that find VCR_SPOOL would both take the one place that goes with it. Until the
 * child knows itself (handlers of pthread_atfork and of signals come first) it is one that may have our memory. */
static int32_t forker(void)
{
	vcr_ready();
	__atomic_fetch_add(&vcr_sharers, 1, __ATOMIC_SEQ_CST);
	return vcr_self.sandboxed ? vcr_self.pid : raw_getpid();
}

/* Where more are counted, somebody is in the midst of vfork, perhaps we ourselves, in a handler; then it stays. */
static void child_is_alone(void)
{
	uint32_t itself = 1;
	__atomic_compare_exchange_n(&vcr_sharers, &itself, 0, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

static pid_t forked(int32_t parent, pid_t r)
{
	int saved = errno;
	if (r > 0)
		vcr_self.forked = true;
	if (r == 0 && vcr_load(&vcr_self.ready) == 2 && !vcr_self.sandboxed)
		child_begins(parent);
	else if (r == 0)
		vcr_self.pid = vcr_self.sandboxed ? vcr_self.pid : raw_getpid();
	if (r == 0)
		child_is_alone();
	else
		__atomic_fetch_sub(&vcr_sharers, 1, __ATOMIC_SEQ_CST);
	errno = saved;
	return r;
}

pid_t fork(void)
{
	int32_t parent = forker();
	return forked(parent, VCR_REAL(fork)());
}

pid_t _Fork(void)
{
	int32_t parent = forker();
	return forked(parent, VCR_REAL(_Fork)());
}

/* ---- children that have our memory ---- */

VCR_HOT __attribute__((used)) uint32_t vcr_sharers;

__attribute__((used)) void vcr_shares(void)
{
	vcr_ready(); /* or the child would make our state, as its own */
	vcr_resolve_for_child();
	__atomic_fetch_add(&vcr_sharers, 1, __ATOMIC_SEQ_CST);
}

/* vfork: a child is counted in, and its parent, which goes on when it has gone, counts it out. One that is killed with a child of its own stays counted: that costs
 * a question to the kernel, no more. It makes the system call itself: who calls another one's vfork has nowhere to keep the way back from there. */
__asm__(VCR_VFORK);

pid_t vcr_vfork_failed(int error);
__attribute__((used)) pid_t vcr_vfork_failed(int error)
{
	errno = error;
	return -1;
}

int clone(int (*run)(void *), void *stack, int flags, void *arg, ...)
{
	va_list ap;
	va_start(ap, arg);
	pid_t *parent_tid = va_arg(ap, pid_t *);
	void *tls = va_arg(ap, void *);
	pid_t *child_tid = va_arg(ap, pid_t *);
	va_end(ap);
	if (!(flags & CLONE_THREAD))
		vcr_shares();
	return VCR_REAL(clone)(run, stack, flags, arg, parent_tid, tls, child_tid);
}

int forkpty(int *master, char *name, const struct termios *t, const struct winsize *size)
{
	int32_t parent = forker();
	return forked(parent, VCR_REAL(forkpty)(master, name, t, size));
}

/* The caller is its own child afterwards; the parent has gone without a word and leaves its place in header.users, if it had one: a vfork child has none. */
int daemon(int keep_directory, int keep_descriptors)
{
	int32_t parent = forker();
	int r = VCR_REAL(daemon)(keep_directory, keep_descriptors), saved = errno;
	struct vcr_spool_header *h = vcr_spool_mapped();
	if (r == 0 && vcr_load(&vcr_self.ready) == 2) {
		bool joined = vcr_self.joined && parent == vcr_self.pid;
		forked(parent, 0);
		if (h && joined)
			__atomic_fetch_sub(&h->users, 1, __ATOMIC_RELAXED);
	} else {
		__atomic_fetch_sub(&vcr_sharers, 1, __ATOMIC_SEQ_CST);
	}
	errno = saved;
	return r;
}

/* ---- ends ---- */

VCR_EARLY void vcr_say_exit(int child, int status, uint32_t source)
{
	struct vcr_rec_exit e = { .child = child, .status = status, .source = source };
	struct vcr_piece piece = { &e, sizeof e };
	if (vcr_spool(VCR_JOIN))
		vcr_append(VCR_REC_EXIT, 0, 0, &piece, 1, VCR_CHIME);
}

VCR_EARLY void vcr_before_exit(int status)
{
	if (vcr_load(&vcr_self.ready) != 2)
		return;
	if (!vcr_spool_mapped() && !vcr_self.forked)
		return; /* nobody ever had anything to say */
	bool guest = vcr_guest();
	int pid = guest ? raw_getpid() : vcr_self.pid;
	vcr_say_exit(pid, status, VCR_EXIT_SELF);
	if (guest)
		return;
	if (pid == vcr_self.root_pid && vcr_spool_mapped())
		vcr_append(VCR_REC_ROOT_END, 0, 0, NULL, 0, VCR_RING);
	vcr_spool_leave();
	vcr_spool_discard();
}

void _exit(int status)
{
	vcr_before_exit((status & 0xff) << 8);
	VCR_REAL(_exit)(status);
	__builtin_unreachable();
}

void _Exit(int status)
{
	vcr_before_exit((status & 0xff) << 8);
	VCR_REAL(_Exit)(status);
	__builtin_unreachable();
}

static pid_t reaped(pid_t child, int status)
{
	int saved = errno;
	if (child > 0 && (WIFEXITED(status) || WIFSIGNALED(status)) && vcr_ready())
		vcr_say_exit(child, status, VCR_EXIT_WAIT);
	errno = saved;
	return child;
}

/* A caller that does not ask for the status gets one of ours to fill. */
pid_t wait(int *status)
{
	int own = 0, *to = status ? status : &own;
	pid_t r = VCR_REAL(wait)(to);
	return r > 0 ? reaped(r, *to) : r;
}

pid_t waitpid(pid_t pid, int *status, int options)
{
	int own = 0, *to = status ? status : &own;
	pid_t r = VCR_REAL(waitpid)(pid, to, options);
	return r > 0 ? reaped(r, *to) : r;
}

pid_t wait3(int *status, int options, struct rusage *usage)
{
	int own = 0, *to = status ? status : &own;
	pid_t r = VCR_REAL(wait3)(to, options, usage);
	return r > 0 ? reaped(r, *to) : r;
}

pid_t wait4(pid_t pid, int *status, int options, struct rusage *usage)
{
	int own = 0, *to = status ? status : &own;
	pid_t r = VCR_REAL(wait4)(pid, to, options, usage);
	return r > 0 ? reaped(r, *to) : r;
}

static int status_of(const siginfo_t *i)
{
	switch (i->si_code) {
	case CLD_EXITED: return (i->si_status & 0xff) << 8;
	case CLD_DUMPED: return i->si_status | 0x80;
	default: return i->si_status & 0x7f;
	}
}

int waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
	siginfo_t own = { 0 }, *to = info ? info : &own;
	int r = VCR_REAL(waitid)(type, id, to, options);
	bool ended = r == 0 && to->si_pid > 0 && (to->si_code == CLD_EXITED || to->si_code == CLD_KILLED || to->si_code == CLD_DUMPED);
	if (ended && !(options & WNOWAIT))
		reaped(to->si_pid, status_of(to));
	return r;
}
