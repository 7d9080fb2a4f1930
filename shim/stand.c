/* stand.c — tools: the programs that a process starts once it has spoken to a model. Where the session's header names a stand-in, they are started through
 * it: it keeps what they print (vcr-record --capture=all), or answers in their place (vcr-replay --hermetic). What a tool starts itself is covered by it.
 * Called in vfork children: nothing is touched but the caller's stack.
 *
 * A program that the library cannot enter starts its tools unseen. Those that take the library find out before their main that they are some: by what their parent was
 * lent (lend.c) they know it, and the gate has heard it speak. They become the stand-in then, which is what their parent would have started. Between them and it there may be the same program, once more: that has their tools started, and it reads what
 * they print. */
#include "shim.h"

int32_t vcr_spoke, vcr_may_speak;

static bool copy(const char shared[400], char out[400])
{
	size_t n = strnlen(shared, 399);
	memcpy(out, shared, n);
	out[n] = 0;
	return n > 0;
}

static bool is_named(struct vcr_stand *s)
{
	struct vcr_spool_header *h = vcr_spool_mapped();
	if (!h || !h->standin[0] || !copy(h->standin, s->program) || !copy(h->stood, s->place))
		return false;
	s->answers = h->flags & VCR_SPOOL_ANSWERS;
	s->watches = false;
	s->reader = 0;
	return s->answers || !vcr_self.sandboxed; /* what the host has forbidden its children may forbid the stand-in too: then they do not run */
}

static bool has_heard(const struct vcr_spool_header *h, int32_t pid)
{
	for (int i = 0; i < VCR_SPOKEN; i++)
		if (vcr_load(&h->spoke[i]) == pid)
			return true;
	return false;
}

/* Who of this process and those that it is a fork of has spoken to a model; 0: nobody. */
static int32_t speaker(const struct vcr_spool_header *h)
{
	int32_t spoke = vcr_load(&vcr_spoke), may = vcr_load(&vcr_may_speak);
	return spoke || !may || !has_heard(h, may) ? spoke : may;
}

bool vcr_stand_wanted(bool spawns, struct vcr_stand *s)
{
	struct vcr_spool_header *h = vcr_spool_mapped();
	if (vcr_likely(!h || !h->standin[0]))
		return false;
	int32_t spoke = speaker(h);
	if ((!spawns && (spoke ? spoke : vcr_self.image) == raw_getpid()) || !is_named(s))
		return false;
	s->early = !spoke;
	return s->answers || spoke || !vcr_self.within;
}

bool vcr_stand_wanted_here(int32_t lender, struct vcr_stand *s)
{
	struct vcr_spool_header *h = vcr_spool_mapped();
	if (vcr_likely(!h || !h->standin[0]) || !is_named(s))
		return false;
	s->reader = lender > 0 ? lender : 0;
	s->early = !has_heard(h, lender);
	return s->answers || !s->early || !vcr_self.within;
}

bool vcr_stand_watches(struct vcr_stand *s)
{
	return s->watches = is_named(s) && s->answers;
}

/* A program that runs after all is watched then, if its own tools would not be seen. */
static const char *verb(const struct vcr_stand *s, enum vcr_target target)
{
	static const char word[][13] = { [VCR_TARGET_GO] = "early:go", [VCR_TARGET_STATIC] = "early:static", [VCR_TARGET_MUSL] = "early:musl", [VCR_TARGET_HARMED] = "early:harmed" };
	return s->watches ? "watch" : !s->answers ? s->early ? "keep:early" : "keep" : !s->early ? "answer" : target < VCR_TARGET_GO ? "early:" : word[target];
}

enum { PRELOAD = 4 /* in what is made of the arguments */ };

void vcr_stand(struct vcr_stand *s, enum vcr_target target, bool by_name, const char *name, char *const argv[], char **env, char **out)
{
	char *preload = "";
	size_t n = 0;
	for (; *env; env++)
		if (!strncmp(*env, "LD_PRELOAD=", 11)) {
			preload = *env;
			for (char **at = env; (at[0] = at[1]); at++)
				;
			break;
		}
	char *end = vcr_format(s->how, by_name ? "name" : "path");
	if (s->reader)
		vcr_format_number(vcr_format(end, ":"), (uint64_t)s->reader, 1);
	const char *const front[] = { s->program, verb(s, target), s->place, s->how, preload, name };
	for (; n < sizeof front / sizeof *front; n++)
		out[n] = (char *)front[n];
	for (size_t i = 0; argv && argv[i]; i++)
		out[n++] = argv[i];
	out[n] = NULL;
}

bool vcr_stand_forgone(const struct vcr_stand *s, char **env, char *const out[])
{
	if (s->answers)
		return false;
	if (*out[PRELOAD]) {
		for (; *env; env++)
			;
		env[0] = out[PRELOAD];
		env[1] = NULL;
	}
	return true;
}
