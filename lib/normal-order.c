#include "normal-order.h"
#include <stdlib.h>
#include <string.h>

struct item { const char *p; size_t n; int token; };

static int by_text(const void *a, const void *b)
{
	const struct item *x = a, *y = b;
	int c = memcmp(x->p, y->p, x->n < y->n ? x->n : y->n);
	return c ? c : (x->n > y->n) - (x->n < y->n);
}

/* How a list looks: behind `before` items that begin and end so, with `between` between them, and behind the last one `after`. */
struct look { const char *before, *begin, *end, *between, *after; };

static bool stands(const char *p, const char *limit, const char *s)
{
	size_t n = strlen(s);
	return (size_t)(limit - p) >= n && !memcmp(p, s, n);
}

/* The items from p on; 0: it is no such list. */
static size_t take_items(const struct look *l, const char *p, const char *limit, struct item item[VCR_MAX_ORDERED])
{
	for (size_t n = 0; n < VCR_MAX_ORDERED; p += strlen(l->between)) {
		size_t skip = strlen(l->begin);
		const char *end = stands(p, limit, l->begin) ? memmem(p + skip, (size_t)(limit - p) - skip, l->end, strlen(l->end)) : NULL;
		if (!end)
			return 0;
		end += strlen(l->end);
		item[n++] = (struct item){ p, (size_t)(end - p), 0 };
		p = end;
		if (stands(p, limit, l->after))
			return n;
		if (!stands(p, limit, l->between))
			return 0;
	}
	return 0;
}

static void sort_list(const struct look *l, struct vcr_buf *text)
{
	struct item item[VCR_MAX_ORDERED];
	VCR_AUTO_BUF sorted = VCR_BUF_INIT;
	char *at = memmem(text->data, text->len, l->before, strlen(l->before));
	size_t n = at ? take_items(l, at + strlen(l->before), text->data + text->len, item) : 0;
	if (n < 2)
		return;
	qsort(item, n, sizeof *item, by_text);
	for (size_t i = 0; i < n; i++) {
		vcr_buf_puts(&sorted, i ? l->between : "");
		vcr_buf_add(&sorted, item[i].p, item[i].n);
	}
	if (!sorted.err)
		memcpy(at + strlen(l->before), sorted.data, sorted.len); /* the same bytes in another order */
}

void vcr_normal_order_text(struct vcr_buf *text)
{
	static const struct look looks[] = { { "<available_skills>\n", "  <skill>\n", "\n  </skill>", "\n", "\n</available_skills>" }, { "agent skill by name (Available: ", "'", "'", ", ", ")" } };
	for (size_t i = 0; i < sizeof looks / sizeof *looks && text->len > 40; i++)
		sort_list(&looks[i], text);
}

bool vcr_normal_order_is_tool(const struct vcr_json *j, int object)
{
	return vcr_json_is(j, vcr_json_get(j, object, "name"), "activate_skill");
}

bool vcr_normal_order_items(const struct vcr_json *j, int array, int out[VCR_MAX_ORDERED], size_t *n)
{
	struct item item[VCR_MAX_ORDERED];
	*n = 0;
	for (int m = vcr_json_first(j, array); m >= 0; m = vcr_json_next(j, m)) {
		if (*n == VCR_MAX_ORDERED || vcr_json_type(j, m) != VCR_JSON_STRING)
			return false;
		struct item *i = &item[(*n)++];
		i->p = vcr_json_raw(j, m, &i->n);
		i->token = m;
	}
	qsort(item, *n, sizeof *item, by_text);
	for (size_t i = 0; i < *n; i++)
		out[i] = item[i].token;
	return true;
}
