#include "sentinel-bodies.h"
#include <stdlib.h>
#include <string.h>

/* A function, among those of its hash. */
struct entry {
	struct entry *next, *previous;
	struct chain *chain;
	struct file *file;
	struct vcr_scanned_function f;
};
struct chain { uint64_t hash; struct entry *first, *last; };
struct file { char *path, *words; int language; struct entry *entry; size_t n; uint64_t seen; };

struct vcr_bodies {
	struct chain **chain; size_t nchain, chains; /* open tables; their sizes are powers of two */
	struct file **file; size_t nfile, files;
	uint64_t round;        /* of vcr_bodies_others: a file's seen */
	size_t looked;
};

struct vcr_bodies *vcr_bodies_new(void)
{
	return calloc(1, sizeof(struct vcr_bodies));
}

static void release(struct file *f)
{
	free(f->entry);
	free(f->words);
	f->entry = NULL;
	f->words = NULL;
	f->n = 0;
}

void vcr_bodies_free(struct vcr_bodies *b)
{
	for (size_t i = 0; b && i < b->chains; i++)
		free(b->chain[i]);
	for (size_t i = 0; b && i < b->files; i++)
		if (b->file[i]) {
			release(b->file[i]);
			free(b->file[i]->path);
			free(b->file[i]);
		}
	if (!b)
		return;
	free(b->chain);
	free(b->file);
	free(b);
}

/* ---- The tables ---- */

static size_t chain_at(struct chain *const *table, size_t size, uint64_t hash)
{
	size_t i = (size_t)((hash ^ hash >> 32) * 0x9e3779b97f4a7c15u >> 20) & (size - 1);
	while (table[i] && table[i]->hash != hash)
		i = (i + 1) & (size - 1);
	return i;
}

static size_t file_at(struct file *const *table, size_t size, const char *path)
{
	uint64_t h = 14695981039346656037u;
	for (const char *p = path; *p; p++)
		h = (h ^ (unsigned char)*p) * 1099511628211u;
	size_t i = (size_t)(h ^ h >> 32) & (size - 1);
	while (table[i] && strcmp(table[i]->path, path))
		i = (i + 1) & (size - 1);
	return i;
}

/* Chains that are empty are left behind. */
static bool more_chains(struct vcr_bodies *b)
{
	size_t size = b->chains ? b->chains * 2 : 256, n = 0;
	struct chain **table = calloc(size, sizeof *table);
	if (!table)
		return false;
	for (size_t i = 0; i < b->chains; i++)
		if (b->chain[i] && !b->chain[i]->first)
			free(b->chain[i]);
		else if (b->chain[i]) {
			table[chain_at(table, size, b->chain[i]->hash)] = b->chain[i];
			n++;
		}
	free(b->chain);
	b->chain = table;
	b->chains = size;
	b->nchain = n;
	return true;
}

static bool more_files(struct vcr_bodies *b)
{
	size_t size = b->files ? b->files * 2 : 256;
	struct file **table = calloc(size, sizeof *table);
	if (!table)
		return false;
	for (size_t i = 0; i < b->files; i++)
		if (b->file[i])
			table[file_at(table, size, b->file[i]->path)] = b->file[i];
	free(b->file);
	b->file = table;
	b->files = size;
	return true;
}

static struct chain *find_chain(const struct vcr_bodies *b, uint64_t hash)
{
	return b->chains ? b->chain[chain_at(b->chain, b->chains, hash)] : NULL;
}

static struct chain *make_chain(struct vcr_bodies *b, uint64_t hash)
{
	if (2 * (b->nchain + 1) > b->chains && !more_chains(b))
		return NULL;
	struct chain **at = &b->chain[chain_at(b->chain, b->chains, hash)];
	if (!*at && (*at = calloc(1, sizeof **at))) {
		(*at)->hash = hash;
		b->nchain++;
	}
	return *at;
}

static struct file *find_file(const struct vcr_bodies *b, const char *path)
{
	return b->files ? b->file[file_at(b->file, b->files, path)] : NULL;
}

static struct file *make_file(struct vcr_bodies *b, const char *path)
{
	if (2 * (b->nfile + 1) > b->files && !more_files(b))
		return NULL;
	struct file **at = &b->file[file_at(b->file, b->files, path)], *f = *at ? NULL : calloc(1, sizeof *f);
	if (!f)
		return *at;
	if (!(f->path = strdup(path))) {
		free(f);
		return NULL;
	}
	b->nfile++;
	return *at = f;
}

/* ---- Putting in, taking out ---- */

static void take_out(struct vcr_bodies *b, struct file *f)
{
	for (size_t i = 0; i < f->n; i++) {
		struct entry *e = &f->entry[i];
		*(e->previous ? &e->previous->next : &e->chain->first) = e->next;
		*(e->next ? &e->next->previous : &e->chain->last) = e->previous;
		b->looked++;
	}
	release(f);
}

static bool put_in(struct vcr_bodies *b, struct file *file, const struct vcr_scanned_function *f, char **words)
{
	size_t n = strlen(f->name) + 1;
	struct chain *c = make_chain(b, f->body_renamed);
	struct entry *e = &file->entry[file->n];
	if (!c)
		return false;
	*e = (struct entry){ .previous = c->last, .chain = c, .file = file, .f = *f };
	e->f.name = memcpy(*words, f->name, n);
	*words += n;
	*(c->last ? &c->last->next : &c->first) = e;
	c->last = e;
	file->n++;
	b->looked++;
	return true;
}

int vcr_bodies_put(struct vcr_bodies *b, const char *path, int language, const struct vcr_scanned_function *f, size_t n)
{
	size_t count = 0, length = 0;
	struct file *file = find_file(b, path);
	if (file)
		take_out(b, file);
	for (size_t i = 0; i < n; i++)
		if (vcr_body_counts(&f[i])) {
			count++;
			length += strlen(f[i].name) + 1;
		}
	if (!count)
		return 0;
	if (!file && !(file = make_file(b, path)))
		return VCR_ENOMEM;
	file->language = language;
	file->entry = malloc(count * sizeof *file->entry);
	char *words = file->words = malloc(length);
	bool whole = file->entry && words;
	for (size_t i = 0; i < n && whole; i++)
		if (vcr_body_counts(&f[i]))
			whole = put_in(b, file, &f[i], &words);
	if (!whole)
		take_out(b, file);
	return whole ? 0 : VCR_ENOMEM;
}

/* ---- Asking ---- */

void vcr_bodies_others(struct vcr_bodies *b, const struct vcr_scanned_function *f, size_t n, size_t most, void (*each)(void *ctx, const char *path), void *ctx)
{
	b->round++;
	for (size_t i = 0; i < n && most; i++) {
		const struct chain *c = vcr_body_counts(&f[i]) ? find_chain(b, f[i].body_renamed) : NULL;
		size_t places = 0;
		for (const struct entry *e = c ? c->first : NULL; e && most && places++ < VCR_MOST_PLACES; e = e->next, b->looked++)
			if (e->file->seen != b->round) {
				e->file->seen = b->round;
				each(ctx, e->file->path);
				most--;
			}
	}
}

int vcr_bodies_duplicates(struct vcr_bodies *b, const struct vcr_policy *p, const char *path, struct vcr_findings *out)
{
	const struct file *file = find_file(b, path);
	int err = 0;
	for (size_t i = 0; file && i < file->n && !err; i++) {
		const struct entry *own = &file->entry[i];
		struct vcr_body_place again = { file->path, file->language, &own->f };
		size_t places = 0;
		for (const struct entry *e = own->chain->first; e != own && places++ < VCR_MOST_PLACES; e = e->next) {
			struct vcr_body_place first = { e->file->path, e->file->language, &e->f };
			b->looked++;
			if (vcr_body_is_again(&first, &again)) {
				err = vcr_body_say(p, &first, &again, out);
				break;
			}
		}
	}
	return err;
}

size_t vcr_bodies_looked(const struct vcr_bodies *b)
{
	return b->looked;
}
