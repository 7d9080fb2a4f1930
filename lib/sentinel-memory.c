/* A piece is a word that says what it is, and behind it what was asked for, aligned to 16 bytes. Sizes with that word are multiples of 16 up to FINE, then
 * powers of two up to COARSE; what is larger is malloc's, in a list. */
#include "sentinel-memory.h"
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <tree_sitter/api.h>

enum { WORD = 8, FINE = 1024, COARSE = 64 << 10, BLOCK = 256 << 10, KEEP = 64, NFINE = FINE / 16 + 1 };
/* What a piece is: a number below VCR_ARENA_SIZES, or */
enum { OUTSIDE = 1000, LARGE };

struct vcr_block { struct vcr_block *next; uint64_t pad; char bytes[]; };
struct vcr_large { struct vcr_large *next, **at; size_t n; uint64_t kind; };
struct outside { uint64_t pad, kind; };

static _Thread_local struct vcr_arena *within;

#if defined __SANITIZE_ADDRESS__
enum { SANITIZED = 1 };
#elif defined __has_feature
#if __has_feature(address_sanitizer)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif
#else
enum { SANITIZED = 0 };
#endif

static uint64_t *kind_of(void *p)
{
	return (uint64_t *)p - 1;
}

static void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

/* The number of the size that holds n bytes and the word, and that size. */
static unsigned size_number(size_t n, size_t *size)
{
	size_t all = (n + WORD + 15) & ~(size_t)15;
	if (all <= FINE) {
		*size = all;
		return (unsigned)(all / 16);
	}
	unsigned log = 64 - (unsigned)__builtin_clzl(all - 1);
	*size = (size_t)1 << log;
	return NFINE + log - 11;
}

static size_t size_of(unsigned number)
{
	return number < NFINE ? number * 16 : (size_t)1 << (number - NFINE + 11);
}

static void next_block(struct vcr_arena *a)
{
	struct vcr_block **to = a->now ? &a->now->next : &a->block;
	if (!*to) {
		*to = must(malloc(BLOCK));
		(*to)->next = NULL;
	}
	a->now = *to;
	a->at = a->now->bytes + WORD; /* so that what is behind the word is aligned */
	a->end = (char *)a->now + BLOCK;
}

static void *large(struct vcr_arena *a, size_t n)
{
	struct vcr_large *l = n < SIZE_MAX - sizeof *l ? must(malloc(sizeof *l + n)) : must(NULL);
	*l = (struct vcr_large){ a->large, &a->large, n, LARGE };
	if (l->next)
		l->next->at = &l->next;
	a->large = l;
	return l + 1;
}

static void drop_large(struct vcr_large *l)
{
	*l->at = l->next;
	if (l->next)
		l->next->at = l->at;
	free(l);
}

static void *outside(size_t n)
{
	struct outside *o = n < SIZE_MAX - sizeof *o ? must(malloc(sizeof *o + n)) : must(NULL);
	o->kind = OUTSIDE;
	return o + 1;
}

void *vcr_arena_malloc(size_t n)
{
	struct vcr_arena *a = within;
	size_t size;
	if (!a)
		return outside(n);
	if (n > COARSE - WORD)
		return large(a, n);
	unsigned number = size_number(n, &size);
	void *p = a->unused[number];
	if (p) {
		memcpy(&a->unused[number], p, sizeof p);
		return p;
	}
	if ((size_t)(a->end - a->at) < size)
		next_block(a);
	p = a->at + WORD;
	a->at += size;
	*kind_of(p) = number;
	return p;
}

void vcr_arena_free(void *p)
{
	if (!p)
		return;
	uint64_t kind = *kind_of(p);
	if (kind == OUTSIDE)
		free((struct outside *)p - 1);
	else if (kind == LARGE)
		drop_large((struct vcr_large *)p - 1);
	else {
		memcpy(p, &within->unused[kind], sizeof p);
		within->unused[kind] = p;
	}
}

void *vcr_arena_calloc(size_t n, size_t size)
{
	size_t all;
	return __builtin_mul_overflow(n, size, &all) ? must(NULL) : memset(vcr_arena_malloc(all), 0, all);
}

void *vcr_arena_realloc(void *p, size_t n)
{
	if (!p)
		return vcr_arena_malloc(n);
	uint64_t kind = *kind_of(p);
	if (kind == OUTSIDE)
		return (struct outside *)(n < SIZE_MAX - sizeof(struct outside) ? must(realloc((struct outside *)p - 1, sizeof(struct outside) + n)) : must(NULL)) + 1;
	size_t holds = kind == LARGE ? ((struct vcr_large *)p - 1)->n : size_of((unsigned)kind) - WORD;
	if (n <= holds)
		return p;
	void *more = vcr_arena_malloc(n < holds * 2 && n > COARSE - WORD ? holds * 2 : n);
	memcpy(more, p, holds);
	vcr_arena_free(p);
	return more;
}

static void install(void)
{
	if (!SANITIZED)
		ts_set_allocator(vcr_arena_malloc, vcr_arena_calloc, vcr_arena_realloc, vcr_arena_free);
}

void vcr_arena_install(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, install);
}

void vcr_arena_give_back(void *p)
{
	if (SANITIZED)
		free(p);
	else
		vcr_arena_free(p);
}

bool vcr_arena_enter(struct vcr_arena *a)
{
	if (SANITIZED)
		return false;
	a->at = a->end = NULL;
	a->now = NULL;
	memset(a->unused, 0, sizeof a->unused);
	within = a;
	return true;
}

void vcr_arena_leave(struct vcr_arena *a)
{
	within = NULL;
	while (a->large)
		drop_large(a->large);
	struct vcr_block *b = a->block;
	for (int i = 1; b && i < KEEP; i++)
		b = b->next;
	for (struct vcr_block *next = b ? b->next : NULL; next; next = b->next) {
		b->next = next->next;
		free(next);
	}
}

void vcr_arena_release(struct vcr_arena *a)
{
	for (struct vcr_block *next; a->block; a->block = next) {
		next = a->block->next;
		free(a->block);
	}
}
