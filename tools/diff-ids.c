/* diff-ids.c — names and times that no two runs share. */
#include "diffing.h"
#include <stdlib.h>
#include <string.h>

enum { MOST_IDS = 4096 };

struct pair { uint64_t old, new; };
struct vcr_diff_ids { struct pair pair[MOST_IDS]; size_t n; };

static const char *const id_keys[] = { "id", "tool_call_id", "tool_use_id", "call_id", "item_id", "responseId", "response_id", "previous_response_id", NULL };
static const char *const answer_times[] = { "/response/created", "/response/created_at", "/response/createTime", "/response/system_fingerprint",
	"/response/total_duration", "/response/load_duration", "/response/prompt_eval_duration", "/response/eval_duration", "/response/completed_at", NULL };

struct vcr_diff_ids *vcr_diff_ids_new(void)
{
	return calloc(1, sizeof(struct vcr_diff_ids));
}

void vcr_diff_ids_free(struct vcr_diff_ids *ids)
{
	free(ids);
}

static bool is_one_of(const char *word, const char *const *words)
{
	for (; *words; words++)
		if (!strcmp(word, *words))
			return true;
	return false;
}

static uint64_t hash(const struct vcr_json *j, int v)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	uint64_t h = 0xcbf29ce484222325u;
	vcr_json_str(j, v, &text);
	for (size_t i = 0; i < text.len; i++)
		h = (h ^ (unsigned char)text.data[i]) * 0x100000001b3u;
	return h ^ h >> 31;
}

/* Where they first meet, in an answer, they are taken for each other; from then on neither goes with another. */
static bool go_together(struct vcr_diff_ids *ids, bool answer, uint64_t old, uint64_t new)
{
	for (size_t i = 0; i < ids->n; i++)
		if (ids->pair[i].old == old || ids->pair[i].new == new)
			return ids->pair[i].old == old && ids->pair[i].new == new;
	if (!answer || ids->n == MOST_IDS)
		return false;
	ids->pair[ids->n++] = (struct pair){ old, new };
	return true;
}

/* Inside of a tool call's arguments an id is the model's word. */
static bool is_argument(const char *path)
{
	return strstr(path, "/input/") || strstr(path, "/args/") || strstr(path, "/arguments/");
}

bool vcr_diff_is_incidental(struct vcr_diff_ids *ids, enum vcr_diff_part part, const char *path, const struct vcr_json *a, int va, const struct vcr_json *b,
	int vb)
{
	const char *slash = strrchr(path, '/');
	if (!ids || va < 0 || vb < 0 || !slash || part == VCR_DIFF_FRAME)
		return false;
	if (part == VCR_DIFF_OUTPUT && is_one_of(path, answer_times))
		return true;
	if (part == VCR_DIFF_OUTPUT && (strncmp(path, "/response/", 10) || is_argument(path)))
		return false;
	return is_one_of(slash + 1, id_keys) && vcr_json_type(a, va) == VCR_JSON_STRING && vcr_json_type(b, vb) == VCR_JSON_STRING &&
		go_together(ids, part == VCR_DIFF_OUTPUT, hash(a, va), hash(b, vb));
}
