/* fuzz.h — what the fuzz targets share.
 *
 * A target is one function from bytes to "no crash", with the invariants of its module as FUZZ_CHECKs: fed whole equals fed in pieces, what is
 * written reads back, output is valid. It is linked with libFuzzer (./configure CC=clang --enable-fuzzers, see scripts/fuzz), or with replay.c, which
 * runs the inputs in corpus/<target>/ in every `make check`. Inputs begin with a few printable bytes that choose options, so that seeds can be
 * written by hand. */
#ifndef VCR_TESTS_FUZZ_H
#define VCR_TESTS_FUZZ_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "buf.h"
#include "json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(cond) \
	do { \
		if (!(cond)) { \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #cond); \
			abort(); \
		} \
	} while (0)

/* Input, taken from the front. */
struct fuzz_in { const char *p; size_t n; };
static inline struct fuzz_in fuzz_in(const uint8_t *data, size_t size) { return (struct fuzz_in){ (const char *)data, size }; }
static inline unsigned fuzz_byte(struct fuzz_in *in)
{
	if (!in->n)
		return 0;
	in->n--;
	return (unsigned char)*in->p++;
}
/* Up to and without the next `end`, or all; copied, so that reading beyond it is seen. */
static inline struct vcr_buf fuzz_until(struct fuzz_in *in, char end)
{
	struct vcr_buf b = VCR_BUF_INIT;
	const char *at = in->n ? memchr(in->p, end, in->n) : NULL;
	size_t n = at ? (size_t)(at - in->p) : in->n;
	vcr_buf_add(&b, in->p, n);
	in->p += n + (at != NULL);
	in->n -= n + (at != NULL);
	return b;
}

/* Sizes of pieces. seed 0: one piece; 1: bytes; else pieces of 1..seed bytes, the same for the same seed. */
struct fuzz_split { unsigned seed; uint32_t state; };
static inline size_t fuzz_piece(struct fuzz_split *s, size_t left)
{
	s->state = s->state * 1664525u + 1013904223u;
	size_t n = s->seed ? 1 + (s->state >> 16) % s->seed : left;
	return n < left ? n : left;
}

/* A private copy of exactly n bytes (no NUL behind them), so that a reader that goes beyond them is caught. */
static inline char *fuzz_exact(const char *p, size_t n)
{
	char *copy = malloc(n ? n : 1);
	if (!copy)
		abort();
	if (n)
		memcpy(copy, p, n);
	return copy;
}

/* Equal? If not, where they part is shown. */
static inline bool fuzz_same(const struct vcr_buf *a, const struct vcr_buf *b)
{
	size_t at = 0, from;
	while (at < a->len && at < b->len && a->data[at] == b->data[at])
		at++;
	if (at == a->len && at == b->len)
		return true;
	from = at < 40 ? 0 : at - 40;
	fprintf(stderr, "at byte %zu: %.*s\n---- or: %.*s\n", at, (int)(a->len - from < 120 ? a->len - from : 120), a->data + from,
		(int)(b->len - from < 120 ? b->len - from : 120), b->data + from);
	return false;
}
static inline bool fuzz_ascii(const struct vcr_buf *b)
{
	for (size_t i = 0; i < b->len; i++)
		if ((unsigned char)b->data[i] >= 0x80)
			return false;
	return true;
}
static inline bool fuzz_valid_json(const struct vcr_buf *b, unsigned flags) { return !vcr_json_validate(b->data, b->len, flags, NULL, NULL); }

/* A directory of this process's own, on tmpfs where there is one; made at the first call, removed at exit. */
const char *fuzz_dir(void);
/* Write DIR/name; its path. */
const char *fuzz_file(const char *name, const void *p, size_t n);

#endif
