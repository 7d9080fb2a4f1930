/* start.c — starting the collector or the gate from inside a host that must not notice.
 *
 * Two clones that share the host's memory and suspend only the calling thread: the first child makes the second one and ends,
 * so the helper is nobody's child here; its exit signal is 0, so there is no SIGCHLD and nothing for wait(-1). The second
 * leaves the session and the process group, gets default signals, its own descriptors and limits, and becomes the program.
 * Only system calls are made on the borrowed memory, on a stack of its own. */
#include "shim.h"

enum { STACK = 64 << 10, BASE_WAIT_MS = 2000 };

struct start {
	const char *program, *argv[5];
	char **env;
	char *stack;                /* of the second child */
	uint32_t *state, ended;     /* what is said where it cannot be started */
	uint32_t *waiting;          /* a futex word that somebody may wait on for it */
	int32_t *pid;               /* where its number goes; NULL: nowhere */
};

static void default_signals(void)
{
	struct { void *handler; unsigned long flags; void *restorer; uint64_t mask; } act = { 0 };
	for (int sig = 1; sig <= 64; sig++)
		vcr_call4(SYS_rt_sigaction, sig, (long)&act, 0, 8);
}

static void own_descriptors(void)
{
	int null = raw_open("/dev/null", O_RDWR, 0);
	for (int fd = 0; null >= 0 && fd < 3; fd++)
		if (fd != null)
			vcr_call3(SYS_dup3, null, fd, 0);
	if (vcr_call3(SYS_close_range, 3, UINT32_MAX, 0))
		for (int fd = 3; fd < 4096; fd++)
			raw_close(fd);
}

static void own_limits(void)
{
	for (int what = 0; what < RLIM_NLIMITS; what++) {
		struct rlimit l;
		if (!vcr_call4(SYS_prlimit64, 0, what, 0, (long)&l) && what != RLIMIT_CORE && what != RLIMIT_STACK) {
			l.rlim_cur = l.rlim_max;
			vcr_call4(SYS_prlimit64, 0, what, (long)&l, 0);
		}
	}
}

static void give_up(struct start *s)
{
	vcr_store(s->state, s->ended);
	raw_wake(s->waiting);
}

static int run_helper(void *arg)
{
	struct start *s = arg;
	uint64_t none = 0;
	vcr_call3(SYS_setsid, 0, 0, 0);
	own_limits();
	default_signals();
	own_descriptors();
	vcr_call3(SYS_umask, 077, 0, 0);
	vcr_call4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&none, 0, 8);
	if (s->pid)
		vcr_store(s->pid, raw_getpid());
	vcr_call3(SYS_execve, (long)s->program, (long)s->argv, (long)s->env);
	give_up(s);
	return 127;
}

static int run_middle(void *arg)
{
	struct start *s = arg;
	return VCR_REAL(clone)(run_helper, s->stack, CLONE_VM | CLONE_VFORK | CLONE_UNTRACED, s) < 0;
}

static char **without_preload(char **to)
{
	char **env = to;
	for (char **at = environ; at && *at; at++)
		if (!vcr_env_is(*at, "LD_PRELOAD") && !vcr_env_is(*at, VCR_ENV_SPOOL))
			*to++ = *at;
	*to = NULL;
	return env;
}

static void clone_twice(struct start *s, char *stack)
{
	uint64_t all = ~0ull, old;
	vcr_call4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)&old, 8);
	int child = VCR_REAL(clone)(run_middle, stack, CLONE_VM | CLONE_VFORK | CLONE_UNTRACED, s), status = 0;
	if (child > 0)
		while (vcr_call4(SYS_wait4, child, (long)&status, __WCLONE, 0) == -EINTR)
			;
	if (child < 0 || status)
		give_up(s);
	vcr_call4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&old, 0, 8);
}

/* The programs stand beside each other. The collector's own may be named by its variable. */
static const char *program_path(bool gate, char out[PATH_MAX])
{
	const char *set = vcr_env_get(environ, "VCR_COLLECTOR"), *slash = set && *set == '/' ? strrchr(set, '/') : NULL;
	size_t n = slash ? (size_t)(slash + 1 - set) : 0;
	if (slash && !gate)
		return set;
	if (!slash || n + sizeof "vcr-gate" > PATH_MAX)
		return gate ? VCR_PKGLIBEXECDIR "/vcr-gate" : VCR_PKGLIBEXECDIR "/vcr-collector";
	memcpy(out, set, n);
	vcr_format(out + n, "vcr-gate");
	return out;
}

static void start(struct start *s, bool gate)
{
	int saved = errno;
	size_t size = 2 * STACK + PATH_MAX + (vcr_env_count(environ) + 1) * sizeof(char *);
	char *memory = raw_mmap(size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	if (raw_failed(memory)) {
		give_up(s);
		return;
	}
	s->stack = memory + 2 * STACK;
	s->program = s->argv[0] = program_path(gate, s->stack);
	s->argv[1] = "--spool";
	s->argv[2] = vcr_self.spool_path;
	s->env = without_preload((char **)(void *)(s->stack + PATH_MAX));
	clone_twice(s, memory + STACK);
	raw_munmap(memory, size);
	errno = saved;
}

void vcr_start_collector(struct vcr_spool_header *h)
{
	uint32_t none = VCR_COLLECTOR_NONE;
	struct start s = { .state = &h->collector, .ended = VCR_COLLECTOR_ENDED, .waiting = &h->base_ready };
	if (h->flags & VCR_SPOOL_BY_RECORD || vcr_self.sandboxed || vcr_guest())
		return;
	if (__atomic_compare_exchange_n(&h->collector, &none, VCR_COLLECTOR_STARTING, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		start(&s, false);
}

/* In a vfork child too: it touches no state of the process. */
bool vcr_start_gate(struct vcr_spool_header *h, bool untapped_only)
{
	uint32_t none = VCR_LEAD_NONE, no_flags = 0;
	struct start s = { .state = &h->gate.state, .ended = VCR_LEAD_ENDED, .waiting = &h->gate.state, .pid = &h->gate.pid, .argv = { [3] = untapped_only ? "--untapped" : NULL } };
	if (h->flags & VCR_SPOOL_LEAD_ONLY || vcr_self.sandboxed)
		return false;
	if (untapped_only && vcr_load(&h->gate.state) == VCR_LEAD_NONE) /* it says so itself, but only when it is ready */
		__atomic_compare_exchange_n(&h->gate.flags, &no_flags, VCR_LEAD_UNTAPPED, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
	if (!__atomic_compare_exchange_n(&h->gate.state, &none, VCR_LEAD_STARTING, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		return false;
	start(&s, true);
	return true;
}

void vcr_want_collector(void)
{
	struct vcr_spool_header *h = vcr_spool(VCR_MAKE);
	uint32_t no = 0;
	if (!h || vcr_likely(vcr_load(&h->collector) == VCR_COLLECTOR_RUNNING))
		return;
	if (!vcr_load(&h->wanted)) {
		uint64_t unset = 0;
		__atomic_compare_exchange_n(&h->base_deadline_ns, &unset, vcr_now() + BASE_WAIT_MS * 1000000ull, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
		__atomic_compare_exchange_n(&h->wanted, &no, 1, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
	}
	if (vcr_load(&h->collector) == VCR_COLLECTOR_NONE)
		vcr_start_collector(h);
}
