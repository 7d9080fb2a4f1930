#include "tree.h"
#include <stdlib.h>

enum state { UNSEEN, OPEN, PLACED };

struct tree {
	struct vcr_reader *r;
	int64_t n;              /* frames of the session */
	int64_t *parent;        /* -1 none */
	int64_t *at;            /* where the frame stands in the list; of one that is not shown, where its nearest ancestor does */
	unsigned char *state;
	bool *caused, *shown;
	struct vcr_branch *b;
	int64_t made;
};

static void read_parents(struct tree *t)
{
	for (int64_t i = 0; i < t->n; i++) {
		struct vcr_reader_frame f;
		t->parent[i] = -1;
		if (vcr_reader_frame(t->r, i, &f, NULL))
			continue;
		t->caused[i] = f.vcr >= 0 && vcr_json_get(f.j, f.vcr, "known_by") >= 0 && vcr_reader_brief(t->r, i).call;
		if (f.parent_frame_id)
			t->parent[i] = vcr_reader_by_id(t->r, f.parent_frame_id);
	}
}

static void place(struct tree *t, int64_t i)
{
	int64_t up = t->parent[i] >= 0 ? t->at[t->parent[i]] : -1;
	t->state[i] = PLACED;
	t->at[i] = up;
	if (!t->shown[i])
		return;
	t->b[t->made] = (struct vcr_branch){ .frame = i, .parent = up, .caused = t->caused[i] };
	if (up >= 0)
		t->b[up].children++;
	t->at[i] = t->made++;
}

/* A frame, its ancestors before it. One that is its own ancestor has no parent. */
static void place_all(struct tree *t, int64_t *stack)
{
	for (int64_t i = 0; i < t->n; i++) {
		int64_t depth = 0;
		for (int64_t k = i; k >= 0 && t->state[k] != PLACED; k = t->parent[k]) {
			if (t->state[k] == OPEN) {
				t->parent[stack[depth - 1]] = -1;
				break;
			}
			t->state[k] = OPEN;
			stack[depth++] = k;
		}
		while (depth)
			place(t, stack[--depth]);
	}
}

struct vcr_branch *vcr_branches(struct vcr_reader *r, const int64_t *index, int64_t n)
{
	struct tree t = { .r = r, .n = vcr_reader_count(r) };
	size_t all = (size_t)t.n + 1;
	int64_t *stack = calloc(all, sizeof *stack);
	t.parent = calloc(all, sizeof *t.parent);
	t.at = calloc(all, sizeof *t.at);
	t.state = calloc(all, sizeof *t.state);
	t.caused = calloc(all, sizeof *t.caused);
	t.shown = calloc(all, sizeof *t.shown);
	t.b = calloc((size_t)n + 1, sizeof *t.b);
	if (stack && t.parent && t.at && t.state && t.caused && t.shown && t.b) {
		for (int64_t k = 0; k < n; k++)
			t.shown[index[k]] = true;
		read_parents(&t);
		place_all(&t, stack);
	} else {
		free(t.b);
		t.b = NULL;
	}
	free(stack);
	free(t.parent);
	free(t.at);
	free(t.state);
	free(t.caused);
	free(t.shown);
	return t.b;
}
