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

static uint32_t hash_of(const char *path, size_t n)
{
	uint32_t h = 2166136261u;
	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)path[i]) * 16777619u;
	return h;
}

static size_t parent_length(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? (size_t)(slash - path) : 0;
}

/* k is in the directory itself, not deeper. */
static bool is_inside(const struct vcr_known *k, const char *dir, size_t n)
{
	return parent_length(k->path) == n && !strncmp(k->path, dir, n);
}

static bool grow(struct vcr_table *t)
{
	size_t slots = t->slots ? t->slots * 2 : 1024;
	struct vcr_known **slot = calloc(slots, sizeof *slot), **inside = calloc(slots, sizeof *inside);
	if (!slot || !inside) {
		free(slot);
		free(inside);
		return t->slots > 0; /* longer chains, then */
	}
	for (size_t i = 0; i < t->slots; i++)
		for (struct vcr_known *k = t->slot[i], *next; k; k = next) {
			next = k->next;
			k->next = slot[k->hash & (slots - 1)];
			slot[k->hash & (slots - 1)] = k;
			k->next_inside = inside[k->parent_hash & (slots - 1)];
			inside[k->parent_hash & (slots - 1)] = k;
		}
	free(t->slot);
	free(t->inside);
	t->slot = slot;
	t->inside = inside;
	t->slots = slots;
	return true;
}

/* What is in k's directory has it in the table from now on, or has it not. */
static void set_orphans(struct vcr_table *t, const struct vcr_known *dir, bool orphan)
{
	size_t n = strlen(dir->path);
	for (struct vcr_known *k = t->inside[dir->hash & (t->slots - 1)]; k; k = k->next_inside)
		if (k->parent_hash == dir->hash && k->orphan != orphan && is_inside(k, dir->path, n)) {
			k->orphan = orphan;
			t->orphans += orphan ? 1 : (size_t)-1;
		}
}

static void link_in(struct vcr_table *t, struct vcr_known *k)
{
	size_t n = parent_length(k->path);
	k->parent_hash = hash_of(k->path, n);
	k->orphan = false;
	if (n) {
		k->path[n] = 0;
		k->orphan = !vcr_table_get(t, k->path);
		k->path[n] = '/';
	}
	struct vcr_known **slot = &t->slot[k->hash & (t->slots - 1)], **inside = &t->inside[k->parent_hash & (t->slots - 1)];
	k->next = *slot;
	*slot = k;
	k->next_inside = *inside;
	*inside = k;
	t->n++;
	t->orphans += k->orphan;
	set_orphans(t, k, false);
}

struct vcr_known *vcr_table_add(struct vcr_table *t, const char *path)
{
	struct vcr_known *k = vcr_table_get(t, path);
	size_t n = strlen(path) + 1;
	if (k || (t->most && t->n >= t->most) || (t->n >= t->slots && !grow(t)) || !(k = calloc(1, sizeof *k + n)))
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
			break;
		}
	for (struct vcr_known **p = &t->inside[k->parent_hash & (t->slots - 1)]; *p; p = &(*p)->next_inside)
		if (*p == k) {
			*p = k->next_inside;
			break;
		}
	t->orphans -= k->orphan;
	k->orphan = false;
	set_orphans(t, k, true);
}

void vcr_table_take(struct vcr_known *to, const struct vcr_known *from)
{
	const struct vcr_known links = *to;
	memcpy(to, from, offsetof(struct vcr_known, path));
	to->next = links.next;
	to->next_inside = links.next_inside;
	to->next_found = links.next_found;
	to->hash = links.hash;
	to->parent_hash = links.parent_hash;
	to->orphan = links.orphan;
}

static struct vcr_known *find_all(const struct vcr_table *t, const char *dir)
{
	struct vcr_known *found = NULL;
	for (size_t i = 0; i < t->slots; i++)
		for (struct vcr_known *k = t->slot[i]; k; k = k->next)
			if (vcr_path_below(k->path, dir)) {
				k->next_found = found;
				found = k;
			}
	return found;
}

struct vcr_known *vcr_table_below(const struct vcr_table *t, const char *dir)
{
	struct vcr_known *found = NULL, **end = &found, *at = NULL;
	if (t->orphans || !*dir)
		return find_all(t, dir);
	for (uint32_t h = vcr_path_hash(dir); t->slots;) {
		size_t n = strlen(dir);
		for (struct vcr_known *k = t->inside[h & (t->slots - 1)]; k; k = k->next_inside)
			if (k->parent_hash == h && is_inside(k, dir, n)) {
				k->next_found = NULL;
				*end = k;
				end = &k->next_found;
			}
		at = at ? at->next_found : found; /* the list is its own queue: what is in the next one comes behind */
		if (!at)
			break;
		dir = at->path;
		h = at->hash;
	}
	return found;
}

void vcr_table_release(struct vcr_table *t, void (*release)(void *ctx, struct vcr_known *k), void *ctx)
{
	for (size_t i = 0; i < t->slots; i++)
		for (struct vcr_known *k = t->slot[i], *next; k; k = next) {
			next = k->next;
			release(ctx, k);
		}
	free(t->slot);
	free(t->inside);
	*t = (struct vcr_table){ 0 };
}

void vcr_table_move(struct vcr_table *t, const char *from, const char *to, void (*release)(void *ctx, struct vcr_known *k), void *ctx)
{
	struct vcr_known *moved = vcr_table_below(t, from);
	size_t nfrom = strlen(from), nto = strlen(to);
	for (struct vcr_known *k = moved; k; k = k->next_found)
		vcr_table_remove(t, k);
	for (struct vcr_known *k = moved, *next; k; k = next) {
		size_t rest = strlen(k->path + nfrom) + 1;
		struct vcr_known *renamed = malloc(sizeof *k + nto + rest);
		next = k->next_found;
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
