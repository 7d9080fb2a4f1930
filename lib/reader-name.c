/* reader-name.c — what a person calls a frame: a number, call:K, start, end, @TIME. */
#include "reader-parts.h"
#include "when.h"
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int64_t nearest(const struct vcr_reader *r, int64_t ns)
{
	int64_t best = 0;
	for (size_t i = 1; i < r->frames.n; i++) {
		int64_t t = r->frames.v[i].time_ns, b = r->frames.v[best].time_ns;
		if (t != INT64_MAX && llabs(t - ns) < llabs(b - ns))
			best = (int64_t)i;
	}
	return best;
}

/* A clock time is one of the day on which the session began. */
static bool time_of_day(const struct vcr_reader *r, const char *s, int64_t *ns)
{
	return vcr_when(s, r->session.created_ns ? r->session.created_ns : r->frames.n ? r->frames.v[0].time_ns : 0, 0, ns);
}

static int resolve_call(struct vcr_reader *r, int64_t k, int64_t *index, struct vcr_error *e)
{
	int64_t seen = 0;
	for (size_t i = 0; i < r->frames.n; i++)
		if (r->frames.v[i].call && seen++ == k) {
			*index = (int64_t)i;
			return 0;
		}
	return vcr_error_set(e, VCR_ENOTFOUND, "%s has no call:%lld: it has %lld model calls", r->path, (long long)k, (long long)seen);
}

static bool whole_number(const char *s, int64_t *out)
{
	char *end;
	errno = 0;
	*out = strtoll(s, &end, 10);
	return isdigit((unsigned char)*s) && !*end && !errno;
}

int vcr_reader_resolve(struct vcr_reader *r, const char *what, int64_t *index, struct vcr_error *e)
{
	int64_t n;
	if (whole_number(what, &n) || !strcmp(what, "start") || !strcmp(what, "end")) {
		n = !strcmp(what, "start") ? 0 : !strcmp(what, "end") ? (int64_t)r->frames.n - 1 : n;
		if (!vcr_reader_entry(r, n < 0 ? 0 : n, e))
			return VCR_ENOTFOUND;
		*index = n;
		return 0;
	}
	if (!strncmp(what, "call:", 5) && whole_number(what + 5, &n))
		return resolve_call(r, n, index, e);
	if (what[0] == '@' && time_of_day(r, what + 1, &n)) {
		if (!vcr_reader_entry(r, 0, e))
			return VCR_ENOTFOUND;
		*index = nearest(r, n);
		return 0;
	}
	return vcr_error_set(e, VCR_EINVAL, "\"%.60s\" names no frame: use a number, call:K, start, end, @HH:MM[:SS] or @DATE\"T\"TIME", what);
}
