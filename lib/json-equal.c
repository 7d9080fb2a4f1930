/* json-equal.c — are two JSON values the same? Members are brought into one order, so no arrangement of them costs more than sorting does. */
#include "json.h"
#include <stdlib.h>
#include <string.h>

/* ---- Members by key ---- */

int vcr_json_member_order(const struct vcr_json_member *x, const struct vcr_json_member *y)
{
	size_t n = x->n < y->n ? x->n : y->n;
	int c = n ? memcmp(x->key, y->key, n) : 0;
	return c ? c : (x->n > y->n) - (x->n < y->n);
}

static int by_key(const void *a, const void *b)
{
	const struct vcr_json_member *x = a, *y = b;
	int c = vcr_json_member_order(x, y);
	return c ? c : x->at - y->at;
}

/* Bytes of the keys that have escapes: unescaped they are no longer. */
static size_t escaped_bytes(const struct vcr_json *j, int object)
{
	size_t sum = 0, n;
	for (int k = vcr_json_first(j, object); k >= 0; k = vcr_json_next(j, k)) {
		const char *raw = vcr_json_raw(j, k, &n);
		sum += memchr(raw, '\\', n) ? n : 0;
	}
	return sum;
}

static struct vcr_json_member member(const struct vcr_json *j, int key, struct vcr_buf *keys)
{
	size_t n, from = keys->len;
	const char *raw = vcr_json_raw(j, key, &n);
	if (!memchr(raw, '\\', n))
		return (struct vcr_json_member){ raw + 1, n - 2, key };
	vcr_json_str(j, key, keys);
	return (struct vcr_json_member){ keys->data + from, keys->len - from, key };
}

int vcr_json_members(const struct vcr_json *j, int object, struct vcr_json_members *out)
{
	struct vcr_json_members l = { .keys = VCR_BUF_INIT };
	size_t count = vcr_json_type(j, object) == VCR_JSON_OBJECT ? (size_t)vcr_json_count(j, object) : 0;
	size_t escaped = count ? escaped_bytes(j, object) : 0;
	l.m = calloc(count + 1, sizeof *l.m);
	if (!l.m || (escaped && !vcr_buf_reserve(&l.keys, escaped))) { /* at once: the keys must not move */
		vcr_json_members_release(&l);
		return VCR_ENOMEM;
	}
	for (int k = count ? vcr_json_first(j, object) : -1; k >= 0 && l.n < count; k = vcr_json_next(j, k))
		l.m[l.n++] = member(j, k, &l.keys);
	qsort(l.m, l.n, sizeof *l.m, by_key);
	for (size_t i = 1; i < l.n && !l.repeated; i++)
		l.repeated = !vcr_json_member_order(&l.m[i - 1], &l.m[i]);
	*out = l;
	return 0;
}

void vcr_json_members_release(struct vcr_json_members *l)
{
	free(l->m);
	vcr_buf_release(&l->keys);
	l->m = NULL;
	l->n = 0;
}

/* ---- Equal ---- */

static bool equal_strings(const struct vcr_json *a, int va, const struct vcr_json *b, int vb)
{
	size_t na, nb;
	const char *pa = vcr_json_raw(a, va, &na), *pb = vcr_json_raw(b, vb, &nb);
	if (na == nb && !memcmp(pa, pb, na))
		return true;
	if (!memchr(pa, '\\', na) && !memchr(pb, '\\', nb))
		return false;
	VCR_AUTO_BUF sa = VCR_BUF_INIT, sb = VCR_BUF_INIT;
	return !vcr_json_str(a, va, &sa) && !vcr_json_str(b, vb, &sb) && sa.len == sb.len && !memcmp(sa.data, sb.data, sa.len);
}

static bool is_integer(const char *p, size_t n)
{
	return !memchr(p, '.', n) && !memchr(p, 'e', n) && !memchr(p, 'E', n);
}

/* A double does not hold every integer of 17 digits: these are told apart by their text. */
static bool equal_numbers(const struct vcr_json *a, int va, const struct vcr_json *b, int vb)
{
	size_t na, nb;
	const char *pa = vcr_json_raw(a, va, &na), *pb = vcr_json_raw(b, vb, &nb);
	double da, db;
	if (na == nb && !memcmp(pa, pb, na))
		return true;
	if (!vcr_json_double(a, va, &da) || !vcr_json_double(b, vb, &db) || !(da == db))
		return false;
	return !is_integer(pa, na) || !is_integer(pb, nb) || da == 0;
}

static bool equal_arrays(const struct vcr_json *a, int va, const struct vcr_json *b, int vb)
{
	int m = vcr_json_first(a, va), n = vcr_json_first(b, vb);
	for (; m >= 0 && n >= 0; m = vcr_json_next(a, m), n = vcr_json_next(b, n))
		if (!vcr_json_equal(a, m, b, n))
			return false;
	return m < 0 && n < 0;
}

/* The same keys in the same places, as texts of one writer have them. */
static bool same_order(const struct vcr_json *a, int va, const struct vcr_json *b, int vb)
{
	int m = vcr_json_first(a, va), n = vcr_json_first(b, vb);
	while (m >= 0 && n >= 0 && equal_strings(a, m, b, n)) {
		m = vcr_json_next(a, m);
		n = vcr_json_next(b, n);
	}
	return m < 0 && n < 0;
}

static bool equal_in_order(const struct vcr_json *a, int va, const struct vcr_json *b, int vb)
{
	int m = vcr_json_first(a, va), n = vcr_json_first(b, vb);
	for (; m >= 0; m = vcr_json_next(a, m), n = vcr_json_next(b, n))
		if (!vcr_json_equal(a, vcr_json_value(a, m), b, vcr_json_value(b, n)))
			return false;
	return true;
}

static bool equal_by_key(const struct vcr_json *a, int va, const struct vcr_json *b, int vb)
{
	VCR_AUTO_MEMBERS x = VCR_JSON_MEMBERS_INIT, y = VCR_JSON_MEMBERS_INIT;
	if (vcr_json_members(a, va, &x) || vcr_json_members(b, vb, &y) || x.n != y.n)
		return false;
	for (size_t i = 0; i < x.n; i++)
		if (vcr_json_member_order(&x.m[i], &y.m[i]) || !vcr_json_equal(a, vcr_json_value(a, x.m[i].at), b, vcr_json_value(b, y.m[i].at)))
			return false;
	return true;
}

bool vcr_json_equal(const struct vcr_json *a, int va, const struct vcr_json *b, int vb)
{
	enum vcr_json_type type = vcr_json_type(a, va);
	if (type != vcr_json_type(b, vb))
		return false;
	switch (type) {
	case VCR_JSON_STRING:
		return equal_strings(a, va, b, vb);
	case VCR_JSON_NUMBER:
		return equal_numbers(a, va, b, vb);
	case VCR_JSON_BOOL:
		return vcr_json_true(a, va) == vcr_json_true(b, vb);
	case VCR_JSON_ARRAY:
		return equal_arrays(a, va, b, vb);
	case VCR_JSON_OBJECT:
		if (vcr_json_count(a, va) != vcr_json_count(b, vb))
			return false;
		return same_order(a, va, b, vb) ? equal_in_order(a, va, b, vb) : equal_by_key(a, va, b, vb);
	default:
		return true;
	}
}
