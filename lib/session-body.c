/* session-body.c — bodies: each stored once, as what differs from the one before it in its conversation. */
#include "session-parts.h"
#include "body.h"
#include "limits.h"
#include "prehash.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LANE_BYTES = 64 << 20 }; /* previous bodies kept for deltas, all lanes together */

static void drop_lane(struct vcr_session *s, struct lane *l)
{
	s->lane_bytes -= l->n;
	free(l->key);
	free(l->body);
	*l = s->lane[--s->nlanes];
}

void vcr_session_forget_bodies(struct vcr_session *s)
{
	while (s->nlanes)
		drop_lane(s, &s->lane[0]);
	free(s->stored);
	s->stored = NULL;
	s->nstored = s->cap_stored = 0;
}

/* The slot of that hash, or the free one where it belongs; *same_ref: one more than the greatest suffix in use for its first 8 bytes. */
static struct stored *stored_slot(struct vcr_session *s, const unsigned char *sha256, unsigned *same_ref)
{
	uint64_t h;
	memcpy(&h, sha256, 8);
	*same_ref = 0;
	for (size_t i = h & (s->cap_stored - 1);; i = (i + 1) & (s->cap_stored - 1)) {
		struct stored *at = &s->stored[i];
		if (!at->taken || !memcmp(at->sha256, sha256, sizeof at->sha256))
			return at;
		if (!memcmp(at->sha256, sha256, 8) && at->suffix >= *same_ref)
			*same_ref = at->suffix + 1;
	}
}

static int grow_stored(struct vcr_session *s)
{
	struct stored *old = s->stored;
	size_t n = s->cap_stored;
	unsigned unused;
	s->cap_stored = n ? 2 * n : 256;
	s->stored = calloc(s->cap_stored, sizeof *s->stored);
	if (!s->stored) {
		s->stored = old;
		s->cap_stored = n;
		return VCR_ENOMEM;
	}
	for (size_t i = 0; i < n; i++)
		if (old[i].taken)
			*stored_slot(s, old[i].sha256, &unused) = old[i];
	free(old);
	return 0;
}

int vcr_session_remember_body(struct vcr_session *s, const unsigned char *sha256, unsigned suffix)
{
	unsigned unused;
	if (2 * s->nstored >= s->cap_stored && grow_stored(s))
		return VCR_ENOMEM;
	struct stored *at = stored_slot(s, sha256, &unused);
	s->nstored += !at->taken;
	memcpy(at->sha256, sha256, sizeof at->sha256);
	at->suffix = suffix;
	at->taken = true;
	return 0;
}

static void format_ref(const unsigned char *sha256, unsigned suffix, char ref[40])
{
	for (int i = 0; i < 8; i++)
		snprintf(ref + 2 * i, 3, "%02x", sha256[i]);
	if (suffix)
		snprintf(ref + 16, 24, "-%u", suffix);
}

static struct lane *find_lane(struct vcr_session *s, const char *key, size_t n)
{
	for (size_t i = 0; n && i < s->nlanes; i++)
		if (s->lane[i].nkey == n && !memcmp(s->lane[i].key, key, n)) {
			s->lane[i].used = ++s->tick;
			return &s->lane[i];
		}
	return NULL;
}

static void make_room(struct vcr_session *s, size_t n)
{
	while (s->nlanes && (s->nlanes == MAX_LANES || s->lane_bytes + n > MAX_LANE_BYTES)) {
		struct lane *oldest = &s->lane[0];
		for (size_t i = 1; i < s->nlanes; i++)
			if (s->lane[i].used < oldest->used)
				oldest = &s->lane[i];
		drop_lane(s, oldest);
	}
}

/* Keep p as the lane's previous body. Without memory the next body of the lane is simply written whole. */
static void set_lane(struct vcr_session *s, const char *key, size_t nkey, const char *p, size_t n, const struct lane *like)
{
	struct lane *old = find_lane(s, key, nkey);
	if (old)
		drop_lane(s, old);
	if (!nkey || n > MAX_LANE_BYTES / 2)
		return;
	make_room(s, n);
	struct lane l = *like;
	l.key = strndup(key, nkey);
	l.nkey = nkey;
	l.body = malloc(n + 1);
	if (!l.key || !l.body) {
		free(l.key);
		free(l.body);
		return;
	}
	memcpy(l.body, p, n);
	l.n = n;
	l.used = ++s->tick;
	s->lane_bytes += n;
	s->lane[s->nlanes++] = l;
}

/* A base is worth it while the deltas behind it are smaller than the body and the chain is short enough to rebuild quickly. */
static bool can_extend(const struct lane *l, size_t n)
{
	return l && l->chain < VCR_MAX_CHAIN && l->added <= n;
}

static int write_body(struct vcr_session *s, const struct lane *base, const struct lane *near, bool legible, const char *p, size_t n, const unsigned char *sha256,
	struct lane *now, struct vcr_error *e)
{
	struct vcr_jw w;
	struct vcr_near beside = { near ? near->ref : NULL, near ? near->body : NULL, near ? near->n : 0 };
	size_t added;
	vcr_session_begin_line(s, &w, "vcr.body");
	vcr_jw_object(&w);
	vcr_jw_key(&w, "ref");
	vcr_jw_str(&w, now->ref);
	int how = vcr_body_encode(&w, p, n, sha256, base ? base->body : NULL, base ? base->n : 0, base ? base->ref : NULL, near ? &beside : NULL, legible, &added, e);
	if (how < 0)
		return how;
	vcr_jw_object_end(&w);
	vcr_jw_object_end(&w);
	now->chain = how ? base->chain + 1 : 0;
	now->added = how == 1 ? base->added + added : 0;
	/* A dictionary costs little to do without, so such chains are kept short by ending them early. */
	if (how == 2 && now->chain >= VCR_MAX_DICT_CHAIN)
		now->chain = VCR_MAX_CHAIN;
	return vcr_session_hold_line(s, e);
}

int vcr_session_add_body(struct vcr_session *s, const char *lane, const char *near, const char *p, size_t n, char ref[40], struct vcr_error *e)
{
	unsigned char sha256[VCR_SHA256];
	unsigned suffix;
	struct lane now = { 0 };
	if (!s->cap_stored && grow_stored(s))
		return vcr_error_set(e, VCR_ENOMEM, "%s: no memory", s->path);
	if (!vcr_prehash(*lane ? s->hashed : NULL, p, n, sha256))
		return vcr_error_set(e, VCR_ENOMEM, "%s: no memory", s->path);
	const struct stored *at = stored_slot(s, sha256, &suffix);
	format_ref(sha256, at->taken ? at->suffix : suffix, now.ref);
	if (at->taken) {
		strcpy(ref, now.ref);
		return 0;
	}
	size_t nlane = strcspn(lane, "<");
	const struct lane *base = find_lane(s, lane, nlane);
	if (!base && lane[nlane])
		base = find_lane(s, lane + nlane + 1, strlen(lane + nlane + 1));
	const struct lane *beside = near ? find_lane(s, near, strlen(near)) : NULL;
	int err = write_body(s, can_extend(base, n) ? base : NULL, beside, nlane > 0, p, n, sha256, &now, e);
	if (!err)
		err = vcr_session_remember_body(s, sha256, suffix);
	if (err)
		return err;
	s->bodies++;
	set_lane(s, lane, nlane, p, n, &now);
	strcpy(ref, now.ref);
	return 0;
}
