#include "body.h"
#include "limits.h"
#include "sha256.h"
#include <endian.h>
#include <lz4.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
	DICTIONARY = 64 << 10, /* LZ4 looks no further back */
	NEAR_PART = 16 << 10,  /* of the dictionary */
	MIN_COPY = 32,         /* a shorter match costs more as an operation than as literals */
	INDEX_STEP = 8,        /* every 8th position of the base is indexed, so any 16 equal bytes are found */
	MAX_OPS = 4096,
	SMALL_TEXT = 160,      /* readable at a glance; LZ4 would save little */
	WHOLE_TEXT = 16 << 10, /* a body of a call, with nothing before it */
};

struct op { size_t from, copy, insert; };
struct delta {
	struct op *op;
	size_t n, cap;
	struct vcr_buf literals;
	bool failed; /* too many operations, or no memory: write a key body */
};

static size_t common_prefix(const char *a, const char *b, size_t max)
{
	size_t i = 0;
	for (; i + 8 <= max; i += 8) {
		uint64_t x, y;
		memcpy(&x, a + i, 8);
		memcpy(&y, b + i, 8);
		if (x != y)
			return i + (size_t)__builtin_ctzll(le64toh(x ^ y)) / 8;
	}
	while (i < max && a[i] == b[i])
		i++;
	return i;
}

/* a and b point behind the last bytes. */
static size_t common_suffix(const char *a, const char *b, size_t max)
{
	size_t i = 0;
	for (; i + 8 <= max; i += 8) {
		uint64_t x, y;
		memcpy(&x, a - i - 8, 8);
		memcpy(&y, b - i - 8, 8);
		if (x != y)
			return i + (size_t)__builtin_clzll(le64toh(x ^ y)) / 8;
	}
	while (i < max && a[-1 - (ptrdiff_t)i] == b[-1 - (ptrdiff_t)i])
		i++;
	return i;
}

static struct op *new_op(struct delta *d)
{
	if (d->n == d->cap) {
		size_t cap = d->cap ? d->cap * 2 : 16;
		struct op *op = cap > MAX_OPS ? NULL : realloc(d->op, cap * sizeof *op);
		if (!op) {
			d->failed = true;
			return NULL;
		}
		d->op = op;
		d->cap = cap;
	}
	d->op[d->n] = (struct op){ 0 };
	return &d->op[d->n++];
}

static void add_copy(struct delta *d, size_t from, size_t len)
{
	struct op *last = d->n ? &d->op[d->n - 1] : NULL;
	if (!len || d->failed)
		return;
	if (last && !last->insert && last->from + last->copy == from) {
		last->copy += len;
		return;
	}
	struct op *op = new_op(d);
	if (op) {
		op->from = from;
		op->copy = len;
	}
}

static void add_insert(struct delta *d, const char *p, size_t len)
{
	if (!len || d->failed)
		return;
	struct op *op = d->n ? &d->op[d->n - 1] : new_op(d);
	if (!op)
		return;
	op->insert += len;
	if (vcr_buf_add(&d->literals, p, len))
		d->failed = true;
}

static uint32_t hash8(const char *p, int bits)
{
	uint64_t v;
	memcpy(&v, p, 8);
	return (uint32_t)(v * 0x9e3779b97f4a7c15ull >> (64 - bits));
}

/* Copies and literals for p[0..n) against base[b0..b1): a table of every 8th position of the base, looked up at every position. */
static void match_middle(struct delta *d, const char *base, size_t b0, size_t b1, const char *p, size_t n)
{
	int bits = 6;
	while (bits < 20 && (size_t)1 << bits < (b1 - b0) / (INDEX_STEP / 2))
		bits++;
	uint32_t *table = calloc((size_t)1 << bits, sizeof *table);
	if (!table) {
		d->failed = true;
		return;
	}
	for (size_t at = b0; at + 8 <= b1; at += INDEX_STEP)
		table[hash8(base + at, bits)] = (uint32_t)(at - b0) + 1;
	size_t done = 0;
	for (size_t i = 0; i + 8 <= n && !d->failed;) {
		uint32_t found = table[hash8(p + i, bits)];
		size_t from = b0 + found - 1;
		if (!found || memcmp(base + from, p + i, 8)) {
			i++;
			continue;
		}
		size_t back_max = i - done < from - b0 ? i - done : from - b0, ahead_max = n - i < b1 - from ? n - i : b1 - from;
		size_t back = common_suffix(base + from, p + i, back_max < MIN_COPY ? back_max : MIN_COPY);
		size_t ahead = common_prefix(base + from, p + i, ahead_max);
		if (back + ahead < MIN_COPY) {
			i++;
			continue;
		}
		add_insert(d, p + done, i - back - done);
		add_copy(d, from - back, back + ahead);
		done = i += ahead;
	}
	free(table);
	add_insert(d, p + done, n - done);
}

/* *dict_end: where base stops being like p; the text before it resembles what was inserted. */
static void find_delta(struct delta *d, const char *base, size_t nbase, const char *p, size_t n, size_t *dict_end)
{
	size_t shorter = nbase < n ? nbase : n;
	size_t prefix = common_prefix(base, p, shorter);
	size_t suffix = common_suffix(base + nbase, p + n, shorter - prefix);
	size_t b1 = nbase - suffix, middle = n - suffix - prefix;
	*dict_end = b1;
	add_copy(d, 0, prefix);
	if (middle >= MIN_COPY && b1 - prefix >= MIN_COPY)
		match_middle(d, base, prefix, b1, p + prefix, middle);
	else
		add_insert(d, p + prefix, middle);
	add_copy(d, b1, suffix);
}

/* ---- Folding: a stream of records that differ in little (server-sent events, JSON lines).
 *
 * Records end behind a blank line (events) or a newline (lines). Each is kept as what stands between the prefix and the suffix that it
 * shares with the record before it. Folded: varint C, C control bytes, then these middles one after another, so that the pieces
 * of a streamed text become text again. Control, per record: a byte m < 253: a middle of m bytes, prefix and suffix as long as last
 * time; 253: a varint for m instead; 254: varints prefix, suffix, m. ---- */

enum { LONG_MIDDLE = 253, NEW_SHAPE = 254, MIN_RECORDS = 4 };
enum shape { NOT_RECORDS, EVENTS, LINES };

static enum shape shape_of(const char *p, size_t n)
{
	static const char *const fields[] = { "data:", "event:", "id:", "retry:", ":" };
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
		if (n >= strlen(fields[i]) && !memcmp(p, fields[i], strlen(fields[i])))
			return EVENTS;
	const char *nl = n > 2 && p[0] == '{' ? memchr(p, '\n', n - 1) : NULL;
	return nl && nl[-1] == '}' && nl[1] == '{' ? LINES : NOT_RECORDS;
}

static size_t record_length(const char *p, size_t n, enum shape shape)
{
	for (const char *at = p, *end = p + n; (at = memchr(at, '\n', (size_t)(end - at))) != NULL;) {
		at++;
		if (shape == LINES)
			return (size_t)(at - p);
		if (at < end && *at == '\n')
			return (size_t)(at - p) + 1;
		if (end - at >= 2 && at[0] == '\r' && at[1] == '\n')
			return (size_t)(at - p) + 2;
	}
	return n;
}

static void add_varint(struct vcr_buf *b, size_t v)
{
	for (; v >= 128; v >>= 7)
		vcr_buf_putc(b, (char)(v | 128));
	vcr_buf_putc(b, (char)v);
}

/* A prefix is cut back to behind a quote, a suffix to before one: there the varying text begins and ends, whatever two neighbours
 * happen to share of it. */
static void cut_at_quotes(const char *p, size_t n, size_t *prefix, size_t *suffix)
{
	for (size_t i = 0; i < 24 && i < *prefix; i++)
		if (p[*prefix - 1 - i] == '"') {
			*prefix -= i;
			break;
		}
	for (size_t i = 0; i < 24 && i < *suffix; i++)
		if (p[n - *suffix + i] == '"') {
			*suffix -= i;
			break;
		}
}

struct fold { size_t prefix, suffix; };

static void fold_record(struct fold *f, const char *before, size_t nbefore, const char *p, size_t n, struct vcr_buf *control,
	struct vcr_buf *middles)
{
	size_t shorter = nbefore < n ? nbefore : n;
	size_t prefix = common_prefix(before, p, shorter), suffix = common_suffix(before + nbefore, p + n, shorter - prefix);
	size_t room = shorter - (f->prefix < shorter ? f->prefix : shorter);
	bool same = f->prefix <= prefix && f->suffix <= room &&
		(f->suffix <= suffix || common_suffix(before + nbefore, p + n, f->suffix) == f->suffix);
	if (!same || prefix + suffix > f->prefix + f->suffix + 24) {
		cut_at_quotes(p, n, &prefix, &suffix);
		*f = (struct fold){ prefix, suffix };
		vcr_buf_putc(control, (char)NEW_SHAPE);
		add_varint(control, prefix);
		add_varint(control, suffix);
		add_varint(control, n - prefix - suffix);
	} else if (n - f->prefix - f->suffix < LONG_MIDDLE) {
		vcr_buf_putc(control, (char)(n - f->prefix - f->suffix));
	} else {
		vcr_buf_putc(control, (char)LONG_MIDDLE);
		add_varint(control, n - f->prefix - f->suffix);
	}
	vcr_buf_add(middles, p + f->prefix, n - f->prefix - f->suffix);
}

/* true: folded into out; false: p is no stream of records, or memory is short. */
static bool fold(const char *p, size_t n, struct vcr_buf *out)
{
	enum shape shape = shape_of(p, n);
	if (shape == NOT_RECORDS)
		return false;
	VCR_AUTO_BUF control = VCR_BUF_INIT, middles = VCR_BUF_INIT;
	struct fold f = { 0, 0 };
	size_t before = 0, nbefore = 0, records = 0;
	for (size_t at = 0; at < n; records++) {
		size_t len = record_length(p + at, n - at, shape);
		fold_record(&f, p + before, nbefore, p + at, len, &control, &middles);
		before = at;
		nbefore = len;
		at += len;
	}
	add_varint(out, control.len);
	vcr_buf_add(out, control.data, control.len);
	vcr_buf_add(out, middles.data, middles.len);
	return records >= MIN_RECORDS && !control.err && !middles.err && !out->err;
}

static bool read_varint(const unsigned char **p, const unsigned char *end, size_t *v)
{
	*v = 0;
	for (int shift = 0; *p < end && shift < 35; shift += 7) {
		unsigned char c = *(*p)++;
		*v |= (size_t)(c & 127) << shift;
		if (c < 128)
			return true;
	}
	return false;
}

/* Append the `size` bytes that p[0..n) folds; VCR_ECORRUPT if it does not. */
static int unfold(const char *p, size_t n, size_t size, struct vcr_buf *out)
{
	const unsigned char *c = (const unsigned char *)p, *end = c + n;
	size_t ncontrol, start = out->len, nbefore = 0;
	struct fold f = { 0, 0 };
	if (!read_varint(&c, end, &ncontrol) || ncontrol > (size_t)(end - c))
		return VCR_ECORRUPT;
	const unsigned char *middle = c + ncontrol, *control_end = middle;
	while (c < control_end) {
		size_t m = *c++;
		if (m == NEW_SHAPE && (!read_varint(&c, control_end, &f.prefix) || !read_varint(&c, control_end, &f.suffix)))
			return VCR_ECORRUPT;
		if (m >= LONG_MIDDLE && !read_varint(&c, control_end, &m))
			return VCR_ECORRUPT;
		size_t made = out->len - start, len = f.prefix + m + f.suffix;
		if (f.prefix + f.suffix > nbefore || m > (size_t)(end - middle) || len > size - made)
			return VCR_ECORRUPT;
		char *to = vcr_buf_reserve(out, len);
		if (!to)
			return out->err;
		const char *before = to - nbefore;
		memcpy(to, before, f.prefix);
		memcpy(to + f.prefix, middle, m);
		memcpy(to + f.prefix + m, before + nbefore - f.suffix, f.suffix);
		vcr_buf_added(out, len);
		middle += m;
		nbefore = len;
	}
	return middle == end && out->len - start == size ? 0 : VCR_ECORRUPT;
}

/* ---- Packing ---- */

/* Bytes of p as a JSON string of printable ASCII, or SIZE_MAX if it is not such text. */
static size_t text_cost(const char *p, size_t n)
{
	const uint64_t ones = 0x0101010101010101ull, tops = 0x8080808080808080ull;
	size_t cost = n;
	for (size_t i = 0; i < n; i++) {
		uint64_t v;
		for (; i + 8 <= n; i += 8) {
			memcpy(&v, p + i, 8);
			uint64_t quote = v ^ (ones * '"'), slash = v ^ (ones * '\\');
			if (((v - ones * 0x20) | (v + ones) | v | (quote - ones) | (slash - ones)) & tops)
				break;
		}
		if (i == n)
			break;
		unsigned char c = (unsigned char)p[i];
		if (c >= 0x7f || (c < 0x20 && c != '\n' && c != '\t' && c != '\r'))
			return SIZE_MAX;
		cost += c < 0x20 || c == '"' || c == '\\';
	}
	return cost;
}

static int compress(const char *p, size_t n, const char *dict, size_t ndict, struct vcr_buf *out)
{
	LZ4_stream_t stream;
	int bound = LZ4_compressBound((int)n);
	char *to = vcr_buf_reserve(out, (size_t)bound);
	if (!to)
		return out->err;
	LZ4_initStream(&stream, sizeof stream);
	if (ndict > DICTIONARY) {
		dict += ndict - DICTIONARY;
		ndict = DICTIONARY;
	}
	if (ndict)
		LZ4_loadDict(&stream, dict, (int)ndict);
	int made = LZ4_compress_fast_continue(&stream, p, to, (int)n, bound, 1);
	if (made <= 0)
		return VCR_ELIMIT;
	vcr_buf_added(out, (size_t)made);
	return 0;
}

static void add_base64(struct vcr_jw *w, const char *key, const char *p, size_t n)
{
	vcr_jw_key(w, "enc");
	vcr_jw_str(w, key);
	vcr_jw_key(w, key);
	vcr_jw_raw(w, "\"", 1);
	vcr_buf_base64(w->out, p, n);
	vcr_buf_putc(w->out, '"');
}

/* small: up to this many bytes text stays text. */
static int pack(struct vcr_jw *w, const char *p, size_t n, const char *dict, size_t ndict, size_t small)
{
	VCR_AUTO_BUF z = VCR_BUF_INIT;
	bool as_text = n <= small && text_cost(p, n) <= n + n / 8 + SMALL_TEXT;
	if (!as_text) {
		int err = compress(p, n, dict, ndict, &z);
		if (err)
			return err;
		size_t base64 = (z.len + 2) / 3 * 4;
		as_text = n <= base64 && text_cost(p, n) <= base64; /* as text it takes n bytes at the least */
	}
	if (as_text) {
		vcr_jw_key(w, "enc");
		vcr_jw_str(w, "text");
		vcr_jw_key(w, "text");
		vcr_jw_strn(w, p, n);
	} else if (z.len < n) {
		add_base64(w, "lz4", z.data, z.len);
	} else {
		add_base64(w, "raw", p, n);
	}
	return w->out->err;
}

static void add_identity(struct vcr_jw *w, const char *p, size_t n, const unsigned char *sha256)
{
	static const unsigned char none[VCR_SHA256];
	unsigned char own[VCR_SHA256];
	if (!sha256)
		sha256 = vcr_sha256(p, n, own) ? own : none;
	vcr_jw_key(w, "size");
	vcr_jw_int(w, (int64_t)n);
	vcr_jw_key(w, "sha256");
	vcr_jw_raw(w, "\"", 1);
	vcr_buf_hex(w->out, sha256, VCR_SHA256);
	vcr_buf_putc(w->out, '"');
}

static void add_base(struct vcr_jw *w, const char *ref)
{
	vcr_jw_key(w, "base");
	vcr_jw_str(w, ref);
}

static void add_packed(struct vcr_jw *w, size_t packed)
{
	vcr_jw_key(w, "packed");
	vcr_jw_int(w, (int64_t)packed);
}

static int encode_fold(struct vcr_jw *w, const struct vcr_buf *folded, const char *base, size_t nbase, const char *ref)
{
	VCR_AUTO_BUF dict = VCR_BUF_INIT;
	bool with_base = base && fold(base, nbase, &dict);
	vcr_jw_key(w, "fold");
	vcr_jw_bool(w, true);
	add_packed(w, folded->len);
	if (with_base)
		add_base(w, ref);
	int err = pack(w, folded->data, folded->len, dict.data, with_base ? dict.len : 0, SMALL_TEXT);
	return err ? err : with_base ? 2 : 0;
}

/* The dictionary of a delta: the end of base[0..dict_end), then that of the near body. At most `most` bytes of base. */
static int delta_dictionary(const char *base, size_t dict_end, const struct vcr_near *near, size_t most, struct vcr_buf *out)
{
	VCR_AUTO_BUF folded = VCR_BUF_INIT;
	const char *p = near ? near->p : NULL;
	size_t n = near ? near->n : 0;
	if (near && fold(near->p, near->n, &folded)) {
		p = folded.data;
		n = folded.len;
	}
	if (n > NEAR_PART) {
		p += n - NEAR_PART;
		n = NEAR_PART;
	}
	most = most < DICTIONARY - n ? most : DICTIONARY - n;
	size_t from = dict_end > most ? dict_end - most : 0;
	vcr_buf_add(out, base + from, dict_end - from);
	if (n)
		vcr_buf_add(out, p, n);
	return out->err;
}

static int encode_delta(struct vcr_jw *w, const struct delta *d, const char *base, size_t dict_end, const char *ref, const struct vcr_near *near)
{
	VCR_AUTO_BUF dict = VCR_BUF_INIT;
	/* Loading a dictionary costs by its size: a few literals do not earn 64 KiB of it. */
	int err = delta_dictionary(base, dict_end, near, d->literals.len * 16, &dict);
	if (err)
		return err;
	add_base(w, ref);
	vcr_jw_key(w, "ops");
	vcr_jw_array(w);
	for (size_t i = 0; i < d->n; i++) {
		vcr_jw_int(w, (int64_t)d->op[i].from);
		vcr_jw_int(w, (int64_t)d->op[i].copy);
		vcr_jw_int(w, (int64_t)d->op[i].insert);
	}
	vcr_jw_array_end(w);
	add_packed(w, d->literals.len);
	vcr_jw_key(w, "dict");
	vcr_jw_int(w, (int64_t)dict_end);
	if (near) {
		vcr_jw_key(w, "near");
		vcr_jw_str(w, near->ref);
	}
	err = pack(w, d->literals.data, d->literals.len, dict.data, dict.len, SMALL_TEXT);
	return err ? err : 1;
}

int vcr_body_encode(struct vcr_jw *w, const char *p, size_t n, const unsigned char *sha256, const char *base, size_t nbase,
	const char *base_ref, const struct vcr_near *near, bool legible, size_t *added, struct vcr_error *e)
{
	if (n > VCR_MAX_HTTP_BODY)
		return vcr_error_set(e, VCR_ELIMIT, "a body of %zu bytes is larger than the %d that are kept", n, VCR_MAX_HTTP_BODY);
	VCR_AUTO_BUF folded = VCR_BUF_INIT;
	int err;
	add_identity(w, p, n, sha256);
	if (added)
		*added = n;
	if (fold(p, n, &folded)) {
		if (added)
			*added = folded.len;
		err = encode_fold(w, &folded, base, nbase, base_ref);
	} else {
		struct delta d = { .literals = VCR_BUF_INIT };
		size_t dict_end = 0;
		if (base)
			find_delta(&d, base, nbase, p, n, &dict_end);
		bool use = base && !d.failed && d.literals.len <= n / 2;
		if (use && added)
			*added = d.literals.len;
		err = use ? encode_delta(w, &d, base, dict_end, base_ref, near) : pack(w, p, n, NULL, 0, legible ? WHOLE_TEXT : SMALL_TEXT);
		free(d.op);
		vcr_buf_release(&d.literals);
	}
	return err < 0 ? vcr_error_set(e, err, "a body of %zu bytes could not be packed: %s", n, vcr_strerror(err)) : err;
}

/* ---- Decoding ---- */

struct head {
	size_t size, packed, dict;
	int ops;
	bool fold;
};

static int corrupt(struct vcr_error *e, const char *what)
{
	return vcr_error_set(e, VCR_ECORRUPT, "stored body: %s", what);
}

static bool read_size(const struct vcr_json *j, int v, size_t max, size_t *out)
{
	int64_t i;
	if (!vcr_json_int(j, v, &i) || i < 0 || (uint64_t)i > max)
		return false;
	*out = (size_t)i;
	return true;
}

static int read_head(const struct vcr_json *j, int data, size_t nbase, struct head *h, struct vcr_error *e)
{
	if (!read_size(j, vcr_json_get(j, data, "size"), VCR_MAX_HTTP_BODY, &h->size))
		return corrupt(e, "no usable \"size\"");
	h->fold = vcr_json_true(j, vcr_json_get(j, data, "fold"));
	h->ops = vcr_json_get(j, data, "ops");
	h->packed = h->size;
	h->dict = 0;
	int packed = vcr_json_get(j, data, "packed"), dict = vcr_json_get(j, data, "dict");
	/* A folded record may cost some bytes more than it had. */
	if (packed >= 0 && !read_size(j, packed, 4 * h->size + 64, &h->packed))
		return corrupt(e, "\"packed\" does not fit \"size\"");
	if (dict >= 0 && !read_size(j, dict, nbase, &h->dict))
		return corrupt(e, "\"dict\" is outside the base");
	return 0;
}

static int unbase64(const struct vcr_json *j, int v, struct vcr_buf *out)
{
	size_t n;
	const char *s = vcr_json_raw(j, v, &n);
	if (vcr_json_type(j, v) != VCR_JSON_STRING)
		return VCR_ESYNTAX;
	return vcr_buf_unbase64(out, s + 1, n - 2);
}

static int unpack(const struct vcr_json *j, int data, size_t packed, const char *dict, size_t ndict, struct vcr_buf *out, struct vcr_error *e)
{
	int enc = vcr_json_get(j, data, "enc");
	if (vcr_json_is(j, enc, "text")) {
		if (vcr_json_str(j, vcr_json_get(j, data, "text"), out) || out->len != packed)
			return corrupt(e, "its text has another length");
	} else if (vcr_json_is(j, enc, "raw")) {
		if (unbase64(j, vcr_json_get(j, data, "raw"), out) || out->len != packed)
			return corrupt(e, "its base64 is damaged");
	} else if (vcr_json_is(j, enc, "lz4")) {
		VCR_AUTO_BUF z = VCR_BUF_INIT;
		char *to;
		/* LZ4 cannot make more than 255 bytes of one: a claim beyond that is no reason to allocate. */
		if (unbase64(j, vcr_json_get(j, data, "lz4"), &z) || packed / 255 > z.len)
			return corrupt(e, "its base64 is damaged");
		if (!(to = vcr_buf_reserve(out, packed)))
			return vcr_error_set(e, out->err, "stored body: %s", vcr_strerror(out->err));
		if (ndict > DICTIONARY) {
			dict += ndict - DICTIONARY;
			ndict = DICTIONARY;
		}
		if (LZ4_decompress_safe_usingDict(z.data, to, (int)z.len, (int)packed, dict, (int)ndict) != (int)packed)
			return corrupt(e, "its LZ4 block is damaged");
		vcr_buf_added(out, packed);
	} else {
		return corrupt(e, "\"enc\" is none of text, lz4, raw");
	}
	return 0;
}

static int apply_ops(const struct vcr_json *j, const struct head *h, const char *base, size_t nbase, const struct vcr_buf *lit,
	struct vcr_buf *out, struct vcr_error *e)
{
	size_t start = out->len, used = 0;
	for (int m = vcr_json_first(j, h->ops); m >= 0; m = vcr_json_next(j, m)) {
		size_t from, copy, insert;
		int second = vcr_json_next(j, m), third = vcr_json_next(j, second);
		if (!read_size(j, m, nbase, &from) || !read_size(j, second, nbase - from, &copy) || !read_size(j, third, lit->len - used, &insert))
			return corrupt(e, "an operation is outside its base");
		if (copy + insert > h->size - (out->len - start))
			return corrupt(e, "its operations make more than \"size\"");
		vcr_buf_add(out, base + from, copy);
		vcr_buf_add(out, lit->data + used, insert);
		used += insert;
		m = third;
	}
	if (out->err)
		return vcr_error_set(e, out->err, "stored body: %s", vcr_strerror(out->err));
	return used == lit->len && out->len - start == h->size ? 0 : corrupt(e, "its operations do not make \"size\" bytes");
}

static int check_sha256(const struct vcr_json *j, int data, const char *p, size_t n, struct vcr_error *e)
{
	unsigned char sum[VCR_SHA256];
	VCR_AUTO_BUF hex = VCR_BUF_INIT;
	if (!vcr_sha256(p, n, sum) || vcr_buf_hex(&hex, sum, sizeof sum))
		return vcr_error_set(e, VCR_ENOMEM, "stored body: %s", vcr_strerror(VCR_ENOMEM));
	return vcr_json_is(j, vcr_json_get(j, data, "sha256"), hex.data) ? 0 : corrupt(e, "its SHA-256 does not match");
}

static int decode_into(const struct vcr_json *j, int data, const char *base, size_t nbase, const struct vcr_near *near, struct vcr_buf *out,
	struct vcr_error *e)
{
	struct head h = { 0 };
	VCR_AUTO_BUF lit = VCR_BUF_INIT, folded_base = VCR_BUF_INIT, dict = VCR_BUF_INIT;
	int err = read_head(j, data, nbase, &h, e);
	if (err)
		return err;
	if (!h.fold && h.ops < 0)
		return h.packed == h.size ? unpack(j, data, h.size, NULL, 0, out, e) : corrupt(e, "\"packed\" is not \"size\"");
	if (h.ops >= 0) {
		if (!base)
			return corrupt(e, "it names no base");
		if ((err = delta_dictionary(base, h.dict, near, DICTIONARY, &dict)))
			return vcr_error_set(e, err, "stored body: %s", vcr_strerror(err));
		err = unpack(j, data, h.packed, dict.data, dict.len, &lit, e);
		return err ? err : apply_ops(j, &h, base, nbase, &lit, out, e);
	}
	if (base && !fold(base, nbase, &folded_base))
		return corrupt(e, "its base is no stream");
	err = unpack(j, data, h.packed, folded_base.data, folded_base.len, &lit, e);
	if (err)
		return err;
	return unfold(lit.data, lit.len, h.size, out) ? corrupt(e, "its folded records are damaged") : 0;
}

int vcr_body_decode(const struct vcr_json *j, int data, const char *base, size_t nbase, const struct vcr_near *near, bool check_hash,
	struct vcr_buf *out, struct vcr_error *e)
{
	VCR_AUTO_BUF made = VCR_BUF_INIT;
	int err = decode_into(j, data, base, base ? nbase : 0, near, &made, e);
	if (!err && check_hash)
		err = check_sha256(j, data, made.data, made.len, e);
	if (!err && vcr_buf_add(out, made.data, made.len))
		err = vcr_error_set(e, out->err, "stored body: %s", vcr_strerror(out->err));
	return err;
}
