/* vcr log --nodes: which nodes a session has, each once, in the order in which they first came. */
#include "log.h"
#include "verbs.h"
#include "words.h"
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NODE_COLUMNS = 32 };

struct node { char *name; int64_t first, frames, errors, tokens; double ms, usd; struct node *next; };

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct node *)a)->name, ((const struct node *)b)->name);
}

static void count(struct node *n, const struct vcr_log *before, const struct vcr_log *after, const struct vcr_reader_frame *f)
{
	n->frames++;
	n->errors += after->errors - before->errors;
	n->tokens += after->tokens - before->tokens;
	n->usd += after->cost - before->cost;
	n->ms += f->latency_ms > 0 ? f->latency_ms : 0;
}

static void print_node(const struct vcr_tool *t, const struct node *n)
{
	VCR_AUTO_BUF out = VCR_BUF_INIT, name = VCR_BUF_INIT, took = VCR_BUF_INIT, cost = VCR_BUF_INIT;
	if (!t->json) {
		vcr_safe_line(&name, n->name, strlen(n->name), NODE_COLUMNS);
		if (n->ms > 0)
			vcr_words_ms(&took, n->ms);
		if (n->usd > 0)
			vcr_words_cost(&cost, n->usd);
		printf("%7lld %7lld %9s %9lld %9s  %s\n", (long long)n->frames, (long long)n->errors, took.data, (long long)n->tokens, cost.data, name.data);
		return;
	}
	const struct { const char *key; int64_t n; } numbers[] = { { "first", n->first }, { "frames", n->frames }, { "errors", n->errors }, { "tokens", n->tokens } };
	struct vcr_jw w;
	vcr_jw_init(&w, &out);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "node");
	vcr_jw_str(&w, n->name);
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		vcr_jw_key(&w, numbers[i].key);
		vcr_jw_int(&w, numbers[i].n);
	}
	vcr_jw_key(&w, "latency_ms");
	vcr_jw_double(&w, n->ms);
	vcr_jw_key(&w, "cost_usd");
	vcr_jw_double(&w, n->usd);
	vcr_jw_object_end(&w);
	printf("%s\n", out.data);
}

/* The node of that name, made if there is none yet. NULL: no memory. */
static struct node *node_of(void **tree, struct node ***last, const struct vcr_reader_frame *f)
{
	struct node key = { .name = (char *)f->node_name }, **found = tfind(&key, tree, by_name);
	if (found)
		return *found;
	struct node *n = calloc(1, sizeof *n);
	if (!n || !(n->name = strdup(f->node_name)) || !tsearch(n, tree, by_name)) {
		free(n ? n->name : NULL);
		free(n);
		return NULL;
	}
	n->first = f->index;
	**last = n;
	*last = &n->next;
	return n;
}

static void leave(void *nothing) { (void)nothing; }

int vcr_log_nodes(struct vcr_log *l, struct vcr_reader *r, const int64_t *index, int64_t n)
{
	void *tree = NULL;
	struct node *first = NULL, **last = &first;
	int status = 0;
	for (int64_t i = 0; i < n; i++) {
		struct vcr_reader_frame f;
		struct vcr_error e = { 0 };
		struct vcr_log before = *l;
		struct node *node = NULL;
		if (vcr_reader_frame(r, index[i], &f, &e) || !(node = node_of(&tree, &last, &f))) {
			vcr_say(l->t, "%s", *e.what ? e.what : "out of memory");
			status = VCR_EXIT_FAILED;
			continue;
		}
		vcr_log_count(l, r, &f);
		count(node, &before, l, &f);
	}
	if (first && !l->t->json)
		printf("%s%7s %7s %9s %9s %9s  %s%s\n", vcr_on(l->t, VCR_DIM), "frames", "errors", "took", "tokens", "cost", "node", vcr_on(l->t, VCR_PLAIN));
	while (first) {
		struct node *gone = first;
		print_node(l->t, gone);
		first = gone->next;
		free(gone->name);
		free(gone);
	}
	tdestroy(tree, leave);
	return status;
}
