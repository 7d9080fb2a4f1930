#include "chain.h"
#include "../lib/golden.h"
#include "open.h"
#include "paths.h"
#include <stdlib.h>
#include <string.h>

bool vcr_chain_has_calls(struct vcr_reader *r)
{
	for (int64_t i = 0; i < vcr_reader_count(r); i++)
		if (vcr_reader_brief(r, i).call)
			return true;
	return false;
}

/* The session that this one continues: its path, appended; false: it continues none, or that is not here. */
static bool find_continued(const struct vcr_tool *t, const char *vcr_dir, struct vcr_reader *reader, struct vcr_buf *path)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	VCR_AUTO_BUF of = VCR_BUF_INIT;
	const struct vcr_reader_session *s = vcr_reader_header(reader);
	if (vcr_json_parse(&j, s->metadata_json, strlen(s->metadata_json), 0, NULL) || vcr_json_str(&j, vcr_json_get(&j, 0, "replay_of"), &of) || !of.len)
		return false;
	if (!strncmp(of.data, "golden/", 7) && vcr_golden_is_fingerprint(of.data + 7, of.len - 7))
		return !vcr_golden_path(vcr_dir, of.data + 7, path);
	if (!strchr(of.data, '/') && !vcr_paths_find_session(vcr_dir, of.data, path, NULL))
		return true;
	vcr_say(t, "session %s continues %s, which is not here: only what is in it is replayed", s->session_id, of.data);
	return false;
}

static void put_first(struct vcr_chain *c, struct vcr_reader *r, const char *path)
{
	memmove(c->reader + 1, c->reader, c->n * sizeof *c->reader);
	memmove(c->path + 1, c->path, c->n++ * sizeof *c->path);
	c->reader[0] = r;
	c->path[0] = strdup(path);
}

/* A golden run may be saved with what continued it. */
static bool is_part_of(struct vcr_reader *r, struct vcr_reader *whole)
{
	struct vcr_reader_frame f;
	return vcr_reader_count(r) && !vcr_reader_frame(r, 0, &f, NULL) && *f.frame_id && vcr_reader_by_id(whole, f.frame_id) >= 0;
}

static void forget(struct vcr_chain *c)
{
	for (size_t i = 0; i < c->n; i++) {
		if (c->reader[i] != c->borrowed)
			vcr_reader_free(c->reader[i]);
		free(c->path[i]);
	}
	c->n = 0;
}

int vcr_chain_open(const struct vcr_tool *t, const char *vcr_dir, struct vcr_reader *r, const char *path, struct vcr_chain *c)
{
	VCR_AUTO_BUF before = VCR_BUF_INIT;
	*c = (struct vcr_chain){ .borrowed = r };
	put_first(c, r, path);
	while (find_continued(t, vcr_dir, c->reader[0], &before)) {
		struct vcr_reader *next = NULL;
		if (c->n == VCR_CHAIN) {
			vcr_say(t, "more than %d sessions continue one another", VCR_CHAIN);
			return VCR_EXIT_FAILED;
		}
		int status = vcr_tool_open(t, before.data, &next);
		if (status)
			return status;
		if (t->verbose)
			vcr_say(t, "session %s continues %s", vcr_reader_header(c->reader[0])->session_id, vcr_reader_header(next)->session_id);
		if (is_part_of(c->reader[0], next))
			forget(c);
		put_first(c, next, before.data);
		vcr_buf_reset(&before);
	}
	for (size_t i = 0; i < c->n; i++)
		if (!c->path[i]) {
			vcr_say(t, "no memory");
			return VCR_EXIT_FAILED;
		}
	return 0;
}

void vcr_chain_release(struct vcr_chain *c)
{
	forget(c);
}
