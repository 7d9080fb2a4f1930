#include "refused.h"
#include "tool.h"
#include <stdlib.h>
#include <string.h>

const char *vcr_refused_word(uint32_t kind)
{
	static const char *const words[] = { "tunnel", "connect", "datagram", "look-up" };
	return words[kind < 4 ? kind : 0];
}

void vcr_refused_add(struct vcr_refused *r, const char *where, uint32_t kind)
{
	for (int i = 0; i < r->n; i++)
		if (r->of[i].kind == kind && !strcmp(r->of[i].where, where))
			return;
	char *copy = r->n < VCR_REFUSED_MOST ? strdup(where) : NULL;
	if (!copy) {
		r->more++;
		return;
	}
	r->of[r->n].where = copy;
	r->of[r->n++].kind = kind;
}

void vcr_refused_say(const struct vcr_refused *r, struct vcr_buf *out)
{
	if (!r->n && !r->more)
		return;
	int64_t times = r->times > r->n ? r->times : r->n;
	vcr_buf_printf(out, "refused %lld time%s, since nothing goes to the network:", (long long)times, times == 1 ? "" : "s");
	for (int i = 0; i < r->n; i++) {
		vcr_buf_puts(out, i ? ", " : " ");
		vcr_safe(out, r->of[i].where, strlen(r->of[i].where), 0);
		vcr_buf_printf(out, " (%s)", vcr_refused_word(r->of[i].kind));
	}
	if (r->more)
		vcr_buf_printf(out, ", and %lld more", (long long)r->more);
}

void vcr_refused_release(struct vcr_refused *r)
{
	for (int i = 0; i < r->n; i++)
		free(r->of[i].where);
	*r = (struct vcr_refused){ .n = 0 };
}
