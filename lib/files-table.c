/* files-table.c — a hash table of paths. */
#include "files-parts.h"
#include <stdlib.h>
#include <string.h>

uint32_t vcr_path_hash(const char *path)
{
	uint32_t h = 2166136261u;
	for (; *path; path++)
		h = (h ^ (unsigned char)*path) * 16777619u;
	return h;
}

bool vcr_path_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);
	return !n || (!strncmp(path, dir, n) && path[n] == '/');
}

struct vcr_known *vcr_table_get(const struct vcr_table *t, const char *path)
{
	uint32_t h = vcr_path_hash(path);
	for (struct vcr_known *k = t->slots ? t->slot[h & (t->slots - 1)] : NULL; k; k = k->next)
		if (k->hash == h && !strcmp(k->path, path))
			return k;
	return NULL;
}

static bool grow(struct vcr_table *t)
{
	size_t slots = t->slots ? t->slots * 2 : 1024;
	struct vcr_known **slot = calloc(slots, sizeof *slot);
	if (!slot)
		return t->slots > 0; /* longer chains, then */
	for (size_t i = 0; i < t->slots; i++)
		for (struct vcr_known *k = t->slot[i], *next; k; k = next) {
			next = k->next;
			k->next = slot[k->hash & (slots - 1)];
			slot[k->hash & (slots - 1)] = k;
		}
	free(t->slot);
	t->slot = slot;
	t->slots = slots;
	return true;
}

static void link_in(struct vcr_table *t, struct vcr_known *k)
{
	struct vcr_known **slot = &t->slot[k->hash & (t->slots - 1)];
	k->next = *slot;
	*slot = k;
	t->n++;
}

struct vcr_known *vcr_table_add(struct vcr_table *t, const char *path)
{
	struct vcr_known *k = vcr_table_get(t, path);
	size_t n = strlen(path) + 1;
	if (k || t->n >= VCR_FILES_MAX_PATHS || (t->n >= t->slots && !grow(t)) || !(k = calloc(1, sizeof *k + n)))
		return k;
	memcpy(k->path, path, n);
	k->hash = vcr_path_hash(path);
	link_in(t, k);
	return k;
}

void vcr_table_remove(struct vcr_table *t, struct vcr_known *k)
{
	for (struct vcr_known **p = &t->slot[k->hash & (t->slots - 1)]; *p; p = &(*p)->next)
		if (*p == k) {
			*p = k->next;
			t->n--;
			return;
		}
}

void vcr_table_release(struct vcr_table *t, void (*release)(void *ctx, struct vcr_known *k), void *ctx)
{
	for (size_t i = 0; i < t->slots; i++)
		for (struct vcr_known *k = t->slot[i], *next; k; k = next) {
			next = k->next;
			release(ctx, k);
		}
	free(t->slot);
	*t = (struct vcr_table){ 0 };
}

void vcr_table_move(struct vcr_table *t, const char *from, const char *to, void (*release)(void *ctx, struct vcr_known *k), void *ctx)
{
	struct vcr_known *moved = NULL;
	size_t nfrom = strlen(from), nto = strlen(to);
	for (size_t i = 0; i < t->slots; i++)
		for (struct vcr_known **p = &t->slot[i], *k; (k = *p);) {
			if (!vcr_path_below(k->path, from)) {
				p = &k->next;
				continue;
			}
			*p = k->next;
			t->n--;
			k->next = moved;
			moved = k;
		}
	for (struct vcr_known *k = moved, *next; k; k = next) {
		size_t rest = strlen(k->path + nfrom) + 1;
		struct vcr_known *renamed = malloc(sizeof *k + nto + rest);
		next = k->next;
		if (!renamed) {
			release(ctx, k);
			continue;
		}
		memcpy(renamed, k, offsetof(struct vcr_known, path));
		memcpy(renamed->path, to, nto);
		memcpy(renamed->path + nto, k->path + nfrom, rest);
		free(k);
		renamed->hash = vcr_path_hash(renamed->path);
		struct vcr_known *there = vcr_table_get(t, renamed->path);
		if (there) {
			vcr_table_remove(t, there);
			release(ctx, there);
		}
		link_in(t, renamed);
	}
}
