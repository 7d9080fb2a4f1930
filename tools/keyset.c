#include "keyset.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Where it is, or would be. */
static size_t place_of(const struct vcr_keyset *s, const char *key)
{
	uint64_t h = 14695981039346656037u;
	for (const char *p = key; *p; p++)
		h = (h ^ (unsigned char)*p) * 1099511628211u;
	size_t i = (size_t)(h ^ h >> 32) & (s->size - 1);
	while (s->slot[i] && strcmp(s->slot[i], key))
		i = (i + 1) & (s->size - 1);
	return i;
}

static bool grow(struct vcr_keyset *s)
{
	struct vcr_keyset more = { .size = s->size ? s->size * 2 : 64, .n = s->n };
	if (!(more.slot = calloc(more.size, sizeof *more.slot)))
		return false;
	for (size_t i = 0; i < s->size; i++)
		if (s->slot[i])
			more.slot[place_of(&more, s->slot[i])] = s->slot[i];
	free(s->slot);
	*s = more;
	return true;
}

bool vcr_keyset_add(struct vcr_keyset *s, const char *key)
{
	if (2 * (s->n + 1) > s->size && !grow(s))
		return !vcr_keyset_has(s, key);
	size_t i = place_of(s, key);
	if (s->slot[i])
		return false;
	if ((s->slot[i] = strdup(key)))
		s->n++;
	return true;
}

bool vcr_keyset_has(const struct vcr_keyset *s, const char *key)
{
	return s->size && s->slot[place_of(s, key)];
}

void vcr_keyset_release(struct vcr_keyset *s)
{
	for (size_t i = 0; i < s->size; i++)
		free(s->slot[i]);
	free(s->slot);
	*s = (struct vcr_keyset){ 0 };
}
