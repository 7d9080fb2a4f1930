#include "sentinel-known.h"
#include "limits.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_PATHS = 8192, KEPT_COST = 16 << 10 /* of a file whose tree is kept, beside its texts: what measures its base has memory of its own */, MOST_RECORD = 16 << 10 };
#define MOST_KEPT (4u << 20)   /* of texts whose trees are kept, bytes */
#define MOST_BASES (256u << 20) /* of texts that are kept to compare with, bytes */
#define MOST_STATE (64u << 20)

static uint64_t hash_of(const char *p, size_t n)
{
	uint64_t h = 14695981039346656037u ^ n;
	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)p[i]) * 1099511628211u;
	h ^= h >> 32;
	return h ? h : 1;
}

/* ---- Files ---- */

static size_t slot_of(struct vcr_known *const *slot, size_t slots, const char *path)
{
	size_t i = (size_t)hash_of(path, strlen(path)) & (slots - 1);
	while (slot[i] && strcmp(slot[i]->path, path))
		i = (i + 1) & (slots - 1);
	return i;
}

struct vcr_known *vcr_known_find(const struct vcr_known_files *f, const char *path)
{
	return f->slots ? f->slot[slot_of(f->slot, f->slots, path)] : NULL;
}

static bool grow(struct vcr_known_files *f)
{
	size_t slots = f->slots ? f->slots * 2 : 64;
	struct vcr_known **slot = calloc(slots, sizeof *slot), **item = slot ? reallocarray(f->item, slots / 2, sizeof *item) : NULL;
	if (!item) {
		free(slot);
		return false;
	}
	for (size_t i = 0; i < f->n; i++)
		slot[slot_of(slot, slots, item[i]->path)] = item[i];
	free(f->slot);
	f->item = item;
	f->slot = slot;
	f->slots = slots;
	return true;
}

static struct vcr_known *add(struct vcr_known_files *f, const char *path, const struct vcr_judging_text *before)
{
	if (f->n == MOST_PATHS || (2 * (f->n + 1) > f->slots && !grow(f)))
		return NULL;
	struct vcr_known *k = calloc(1, sizeof *k);
	if (!k || !(k->path = strdup(path))) {
		free(k);
		return NULL;
	}
	k->unknown = !before->known;
	if (before->there && f->bases + before->n <= MOST_BASES && (k->base = malloc(before->n + 1))) {
		memcpy(k->base, before->p, before->n);
		k->base[before->n] = 0;
		k->nbase = before->n;
		f->bases += before->n;
	} else if (before->there) {
		k->unknown = true;
	}
	f->slot[slot_of(f->slot, f->slots, path)] = f->item[f->n++] = k;
	return k;
}

/* ---- Trees ---- */

static void forget_kept(struct vcr_known_files *f, struct vcr_known *k)
{
	if (!k->kept)
		return;
	f->kept -= k->kept->bytes;
	vcr_tracked_free(k->kept->now);
	vcr_measure_free(k->kept->was);
	free(k->kept);
	k->kept = NULL;
}

void vcr_known_keep(struct vcr_known_files *f, struct vcr_known *k, int language, size_t n)
{
	size_t bytes = n + k->nbase + KEPT_COST;
	if (k->kept && (k->kept->language != language || bytes > MOST_KEPT))
		forget_kept(f, k);
	if (bytes > MOST_KEPT)
		return;
	f->kept -= k->kept ? k->kept->bytes : 0;
	for (size_t i = 0; i < f->n && f->kept + bytes > MOST_KEPT; i++)
		if (f->item[i] != k)
			forget_kept(f, f->item[i]);
	if (!k->kept && (k->kept = calloc(1, sizeof *k->kept)) && !(k->kept->was = vcr_measure_new())) {
		free(k->kept);
		k->kept = NULL;
	}
	if (!k->kept)
		return;
	k->kept->language = language;
	k->kept->bytes = bytes;
	f->kept += bytes;
}

/* ---- What was said ---- */

void vcr_known_forget_said(struct vcr_known *k)
{
	for (size_t i = 0; i < k->nsaid; i++) {
		free(k->said[i].key);
		free(k->said[i].json);
	}
	free(k->said);
	k->said = NULL;
	k->nsaid = 0;
}

void vcr_known_say(struct vcr_known *k, const char *key, const char *json, size_t n)
{
	struct vcr_said *more = reallocarray(k->said, k->nsaid + 1, sizeof *more);
	if (!more)
		return;
	k->said = more;
	more[k->nsaid] = (struct vcr_said){ strdup(key), strndup(json, n) };
	if (more[k->nsaid].key && more[k->nsaid].json) {
		k->nsaid++;
		return;
	}
	free(more[k->nsaid].key);
	free(more[k->nsaid].json);
}

/* ---- The state file ---- */

/* One record, whole or not at all as far as that can be: what stands behind one that is cut off is lost, so none is written then. */
static void append(struct vcr_known_files *f, const struct vcr_buf *record)
{
	if (f->state < 0)
		return;
	bool fits = !record->err && f->written + record->len <= MOST_STATE;
	if (fits && write(f->state, record->data, record->len) == (ssize_t)record->len) {
		f->written += record->len;
		return;
	}
	close(f->state);
	f->state = -1;
}

struct vcr_known *vcr_known_remember(struct vcr_known_files *f, const char *path, const struct vcr_judging_text *before)
{
	struct vcr_known *k = add(f, path, before);
	VCR_AUTO_BUF record = VCR_BUF_INIT;
	struct vcr_jw w;
	if (!k || f->state < 0)
		return k;
	vcr_jw_init(&w, &record);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "path");
	vcr_jw_str(&w, path);
	if (!k->unknown) {
		vcr_jw_key(&w, "base");
		if (k->base)
			vcr_jw_int(&w, (int64_t)k->nbase);
		else
			vcr_jw_null(&w);
	}
	vcr_jw_object_end(&w);
	vcr_buf_putc(&record, '\n');
	if (k->base && !k->unknown)
		vcr_buf_add(&record, k->base, k->nbase);
	append(f, &record);
	return k;
}

void vcr_known_judged(struct vcr_known_files *f, struct vcr_known *k, const struct vcr_judging_text *after)
{
	VCR_AUTO_BUF record = VCR_BUF_INIT;
	struct vcr_jw w;
	char hex[20];
	k->last = 0;
	if (f->state < 0 || !after->there)
		return;
	snprintf(hex, sizeof hex, "%016llx", (unsigned long long)hash_of(after->p, after->n));
	vcr_jw_init(&w, &record);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "judged");
	vcr_jw_str(&w, k->path);
	vcr_jw_key(&w, "text");
	vcr_jw_str(&w, hex);
	vcr_jw_object_end(&w);
	vcr_buf_putc(&record, '\n');
	append(f, &record);
}

bool vcr_known_was_judged(struct vcr_known *k, const struct vcr_judging_text *text)
{
	bool is = k->last && text->known && text->there && hash_of(text->p, text->n) == k->last;
	k->last = 0;
	return is;
}

static bool read_base(const struct vcr_json *j, FILE *in, struct vcr_judging_text *t)
{
	int v = vcr_json_get(j, 0, "base");
	int64_t n = 0;
	*t = (struct vcr_judging_text){ .known = v >= 0 };
	if (v < 0 || vcr_json_type(j, v) == VCR_JSON_NULL)
		return true;
	if (!vcr_json_int(j, v, &n) || n < 0 || n > MOST_STATE || !(t->p = malloc((size_t)n + 1)))
		return false;
	t->there = true;
	t->n = (size_t)n;
	return fread(t->p, 1, t->n, in) == t->n;
}

/* False: it is cut off, or none of ours. */
static bool read_record(struct vcr_known_files *f, const char *line, size_t n, FILE *in)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	if (n > MOST_RECORD || line[n - 1] != '\n' || vcr_json_parse(&j, line, n, 0, NULL))
		return false;
	char *path = vcr_json_strdup(&j, vcr_json_get(&j, 0, "path")), *judged = vcr_json_strdup(&j, vcr_json_get(&j, 0, "judged")), *text = vcr_json_strdup(&j, vcr_json_get(&j, 0, "text"));
	struct vcr_judging_text base = { .p = NULL };
	struct vcr_known *k = judged ? vcr_known_find(f, judged) : NULL;
	bool good = judged || (path && read_base(&j, in, &base));
	if (k && text)
		k->last = strtoull(text, NULL, 16);
	if (good && path && !judged && !vcr_known_find(f, path))
		add(f, path, &base);
	free(base.p);
	free(path);
	free(judged);
	free(text);
	return good;
}

void vcr_known_resume(struct vcr_known_files *f, const char *state)
{
	int fd = open(state, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600), copy = fd >= 0 ? dup(fd) : -1;
	FILE *in = copy >= 0 ? fdopen(copy, "r") : NULL;
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	long good = 0;
	while (in && (n = getline(&line, &cap, in)) > 0 && read_record(f, line, (size_t)n, in))
		good = ftell(in);
	free(line);
	if (in)
		fclose(in);
	else if (copy >= 0)
		close(copy);
	if (fd >= 0 && ftruncate(fd, good)) {
		close(fd);
		fd = -1;
	}
	f->state = fd;
	f->written = good > 0 ? (size_t)good : 0;
}

void vcr_known_release(struct vcr_known_files *f)
{
	for (size_t i = 0; i < f->n; i++) {
		struct vcr_known *k = f->item[i];
		vcr_known_forget_said(k);
		forget_kept(f, k);
		free(k->path);
		free(k->base);
		free(k);
	}
	free(f->item);
	free(f->slot);
	if (f->state >= 0)
		close(f->state);
	*f = (struct vcr_known_files)VCR_KNOWN_FILES_INIT;
}
