#include "sse.h"
#include "buf.h"
#include "limits.h"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct vcr_sse {
	vcr_sse_fn *fn;
	void *ctx;
	struct vcr_buf line, data, event, id;
	bool has_data, after_cr, begun; /* begun: past a possible byte order mark */
};

struct vcr_sse *vcr_sse_new(vcr_sse_fn *fn, void *ctx)
{
	struct vcr_sse *s = calloc(1, sizeof *s);
	if (!s)
		return NULL;
	s->fn = fn;
	s->ctx = ctx;
	vcr_buf_init(&s->line, VCR_MAX_SSE_EVENT);
	vcr_buf_init(&s->data, VCR_MAX_SSE_EVENT);
	vcr_buf_init(&s->event, VCR_MAX_SSE_EVENT);
	vcr_buf_init(&s->id, VCR_MAX_SSE_EVENT);
	return s;
}

void vcr_sse_free(struct vcr_sse *s)
{
	if (!s)
		return;
	vcr_buf_release(&s->line);
	vcr_buf_release(&s->data);
	vcr_buf_release(&s->event);
	vcr_buf_release(&s->id);
	free(s);
}

static int dispatch(struct vcr_sse *s)
{
	int err = 0;
	if (s->has_data) {
		vcr_buf_cut(&s->data, s->data.len - 1); /* the last line's \n */
		err = s->fn(s->ctx, s->event.len ? s->event.data : "message", s->data.data, s->data.len, s->id.data);
	}
	vcr_buf_reset(&s->data);
	vcr_buf_reset(&s->event);
	s->has_data = false;
	return err;
}

static bool field(const char *line, size_t n, const char *name)
{
	return n == strlen(name) && !memcmp(line, name, n);
}

static int take_line(struct vcr_sse *s, const char *line, size_t n)
{
	if (!s->begun) {
		s->begun = true;
		if (n >= 3 && !memcmp(line, "\xef\xbb\xbf", 3)) {
			line += 3;
			n -= 3;
		}
	}
	if (!n)
		return dispatch(s);
	const char *colon = memchr(line, ':', n);
	size_t name = colon ? (size_t)(colon - line) : n;
	const char *value = line + name + (colon != NULL);
	size_t len = n - name - (colon != NULL);
	if (len && *value == ' ') {
		value++;
		len--;
	}
	if (field(line, name, "data")) {
		vcr_buf_add(&s->data, value, len);
		vcr_buf_putc(&s->data, '\n');
		s->has_data = true;
	} else if (field(line, name, "event")) {
		vcr_buf_reset(&s->event);
		vcr_buf_add(&s->event, value, len);
	} else if (field(line, name, "id") && !memchr(value, 0, len)) {
		vcr_buf_reset(&s->id);
		vcr_buf_add(&s->id, value, len);
	}
	return s->data.err ? s->data.err : s->event.err ? s->event.err : s->id.err;
}

/* Where the line that begins at p ends: CR or LF, or end. *lf is the next LF, looked for once however many CRs stand before it. */
static const char *line_end(const char *p, const char *end, const char **lf)
{
	if (!*lf || *lf < p) {
		*lf = memchr(p, '\n', (size_t)(end - p));
		if (!*lf)
			*lf = end;
	}
	const char *cr = memchr(p, '\r', (size_t)(*lf - p));
	return cr ? cr : *lf;
}

int vcr_sse_feed(struct vcr_sse *s, const char *p, size_t n)
{
	const char *end = p + n, *lf = NULL;
	while (p < end) {
		if (s->after_cr) {
			s->after_cr = false;
			if (*p == '\n') {
				p++;
				continue;
			}
		}
		const char *stop = line_end(p, end, &lf);
		if (stop == end)
			return vcr_buf_add(&s->line, p, (size_t)(end - p));
		int err;
		if (s->line.len) {
			if ((err = vcr_buf_add(&s->line, p, (size_t)(stop - p))))
				return err;
			err = take_line(s, s->line.data, s->line.len);
			vcr_buf_reset(&s->line);
		} else {
			err = take_line(s, p, (size_t)(stop - p));
		}
		if (err)
			return err;
		s->after_cr = *stop == '\r';
		p = stop + 1;
	}
	return 0;
}

int vcr_sse_end(struct vcr_sse *s)
{
	return s->has_data || s->line.len ? 1 : 0;
}
