/* Two contents with '\1' between them; the diff, applied to the first, gives the second; so do the words that it has. */
#include "fuzz.h"
#include "diff.h"

/* One line of p with its newline. */
static size_t line_length(const char *p, size_t n)
{
	const char *nl = n ? memchr(p, '\n', n) : NULL;
	return nl ? (size_t)(nl - p) + 1 : n;
}

static void take_line(struct fuzz_in *in, struct vcr_buf *line)
{
	size_t k = line_length(in->p, in->n);
	vcr_buf_reset(line);
	vcr_buf_add(line, in->p, k);
	in->p += k;
	in->n -= k;
}

/* A hunk's lines: ' ' and '-' must stand in a, ' ' and '+' go to out. */
static void apply_hunk(struct fuzz_in *patch, struct fuzz_in *a, struct vcr_buf *out)
{
	VCR_AUTO_BUF line = VCR_BUF_INIT;
	while (patch->n && strchr(" +-", *patch->p)) {
		take_line(patch, &line);
		if (patch->n && *patch->p == '\\') { /* no newline at the end of file */
			vcr_buf_cut(&line, line.len - 1);
			size_t k = line_length(patch->p, patch->n);
			patch->p += k;
			patch->n -= k;
		}
		if (*line.data != '+') {
			FUZZ_CHECK(a->n >= line.len - 1 && !memcmp(a->p, line.data + 1, line.len - 1));
			a->p += line.len - 1;
			a->n -= line.len - 1;
		}
		if (*line.data != '-')
			vcr_buf_add(out, line.data + 1, line.len - 1);
	}
}

static void apply(struct fuzz_in patch, struct fuzz_in a, struct vcr_buf *out)
{
	VCR_AUTO_BUF line = VCR_BUF_INIT;
	long at = 1, old, count;
	for (int i = 0; i < 2; i++)
		take_line(&patch, &line);
	while (patch.n) {
		take_line(&patch, &line);
		FUZZ_CHECK(sscanf(line.data, "@@ -%ld", &old) == 1);
		count = 1;
		const char *comma = strpbrk(line.data, ", +");
		if (comma && *comma == ' ')
			comma = strpbrk(comma + 1, ", ");
		if (comma && *comma == ',')
			count = atol(comma + 1);
		if (!count)
			old++; /* nothing old: the hunk stands behind that line */
		for (; at < old; at++) {
			size_t k = line_length(a.p, a.n);
			FUZZ_CHECK(k);
			vcr_buf_add(out, a.p, k);
			a.p += k;
			a.n -= k;
		}
		at += count;
		apply_hunk(&patch, &a, out);
	}
	vcr_buf_add(out, a.p, a.n);
}

struct sides { struct vcr_buf a, b; };

static void take_run(void *ctx, char sign, const char *p, size_t n)
{
	struct sides *s = ctx;
	FUZZ_CHECK(n);
	if (sign != '+')
		vcr_buf_add(&s->a, p, n);
	if (sign != '-')
		vcr_buf_add(&s->b, p, n);
}

static void check_words(const char *a, size_t na, const char *b, size_t nb)
{
	struct sides s = { VCR_BUF_INIT, VCR_BUF_INIT };
	FUZZ_CHECK(!vcr_diff_words(a, na, b, nb, take_run, &s));
	FUZZ_CHECK(s.a.len == na && !memcmp(s.a.data, a, na) && s.b.len == nb && !memcmp(s.b.data, b, nb));
	vcr_buf_release(&s.a);
	vcr_buf_release(&s.b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = fuzz_in(data, size);
	VCR_AUTO_BUF a = fuzz_until(&in, 1), diff = VCR_BUF_INIT, made = VCR_BUF_INIT;
	char *from = fuzz_exact(a.data, a.len), *to = fuzz_exact(in.p, in.n);
	vcr_diff_is_text(from, a.len);
	check_words(from, a.len, to, in.n);
	FUZZ_CHECK(!vcr_diff_unified(&diff, "old", from, a.len, "new", to, in.n));
	bool same = a.len == in.n && !memcmp(from, to, in.n);
	FUZZ_CHECK(!diff.len == same);
	if (diff.len) {
		apply((struct fuzz_in){ diff.data, diff.len }, (struct fuzz_in){ from, a.len }, &made);
		FUZZ_CHECK(made.len == in.n && !memcmp(made.data, to, in.n));
	}
	free(from);
	free(to);
	return 0;
}
