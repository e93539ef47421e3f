// From a graph to a plan, and its run: which of cuDNN's engines is taken.
#include "core/cuda/cudnn_private.h"

#include <stdio.h>
#include <string.h>

enum { NOTES = 16, CONFIGURATIONS = 32 };

static void say(plan *p, const cudnn *c, cudnnStatus_t e, const char *what) {
    char text[192] = "";
    c->f.cudnnGetLastErrorString(text, sizeof text);
    snprintf(p->why, sizeof p->why, "%s: %.190s", what, *text ? text : c->f.cudnnGetErrorString(e));
}

static void destroy(const cudnn *c, node n) {
    if (n) c->f.cudnnBackendDestroyDescriptor(n);
}

// Device or handle of N, by the name that its kind has for each; one of the two exists.
static cudnnStatus_t set_device(const cudnn *c, node n, cudnnBackendAttributeName_t of_handle,
                                cudnnBackendAttributeName_t of_described) {
    if (c->handle)
        return c->f.cudnnBackendSetAttribute(n, of_handle, CUDNN_TYPE_HANDLE, 1, &c->handle);
    return c->f.cudnnBackendSetAttribute(n, of_described, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                                         &c->described);
}

// --- what an engine may do -----------------------------------------------------------------------
static bool note_is_fine(cudnnBackendNumericalNote_t note, plan_rules rules) {
    switch (note) {
    case CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC:
    case CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS:
    case CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION:
        return false;
    // The only way in which tensor cores take f32 is rounded to tf32.
    case CUDNN_NUMERICAL_NOTE_TENSOR_CORE:
        return !rules.no_tensor_cores;
    default:
        return true;
    }
}

// An engine whose notes cannot be read is not trusted.
static bool engine_is_fine(const cudnn *c, node configuration, plan_rules rules) {
    cudnnBackendNumericalNote_t note[NOTES];
    int64_t count = 0;
    node engine = NULL;
    cudnnStatus_t e = c->f.cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINE_DESCRIPTOR, &engine);
    if (!e)
        e = c->f.cudnnBackendGetAttribute(configuration, CUDNN_ATTR_ENGINECFG_ENGINE,
                                          CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &engine);
    if (!e)
        e = c->f.cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
                                          CUDNN_TYPE_NUMERICAL_NOTE, NOTES, &count, note);
    bool fine = !e && count <= NOTES;
    for (int64_t i = 0; i < count && fine; i++) fine = note_is_fine(note[i], rules);
    destroy(c, engine);
    return fine;
}

// --- the plan ------------------------------------------------------------------------------------
static bool try_configuration(const cudnn *c, plan *p, node configuration) {
    int64_t count = 0, workspace = 0;
    node n = NULL;
    cudnnStatus_t e =
        c->f.cudnnBackendCreateDescriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &n);
    if (!e)
        e = set_device(c, n, CUDNN_ATTR_EXECUTION_PLAN_HANDLE,
                       CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP);
    if (!e)
        e = c->f.cudnnBackendSetAttribute(n, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG,
                                          CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &configuration);
    if (!e) e = c->f.cudnnBackendFinalize(n);
    if (!e)
        e = c->f.cudnnBackendGetAttribute(n, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
                                          CUDNN_TYPE_INT64, 1, &count, &workspace);
    if (e) {
        say(p, c, e, "a plan");
        destroy(c, n);
        return false;
    }
    p->plan = n;
    p->workspace = (size_t)workspace;
    *p->why = 0;
    return true;
}

// What MODE proposes, best first, at most CONFIGURATIONS; -1 after an error. What is made is the
// caller's.
static int64_t propose(const cudnn *c, plan *p, node operations, cudnnBackendHeurMode_t mode,
                       node *out) {
    int64_t count = 0;
    node h = NULL;
    for (int i = 0; i < CONFIGURATIONS; i++) out[i] = NULL;
    cudnnStatus_t e = c->f.cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, &h);
    if (!e)
        e = c->f.cudnnBackendSetAttribute(h, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH,
                                          CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &operations);
    if (!e)
        e = c->f.cudnnBackendSetAttribute(h, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1,
                                          &mode);
    if (!e && !c->handle)
        e = c->f.cudnnBackendSetAttribute(h, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP,
                                          CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &c->described);
    if (!e) e = c->f.cudnnBackendFinalize(h);
    for (int i = 0; i < CONFIGURATIONS && !e; i++)
        e = c->f.cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &out[i]);
    if (!e)
        e = c->f.cudnnBackendGetAttribute(h, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                          CUDNN_TYPE_BACKEND_DESCRIPTOR, CONFIGURATIONS, &count,
                                          out);
    if (e) say(p, c, e, "heuristics");
    destroy(c, h);
    return e ? -1 : count;
}

static bool try_mode(const cudnn *c, plan *p, node operations, cudnnBackendHeurMode_t mode,
                     plan_rules rules) {
    node configuration[CONFIGURATIONS];
    int64_t count = propose(c, p, operations, mode, configuration);
    bool done = false;
    for (int64_t i = 0; i < count && !done; i++) {
        if (engine_is_fine(c, configuration[i], rules))
            done = try_configuration(c, p, configuration[i]);
        else if (!*p->why)
            snprintf(p->why, sizeof p->why,
                     "only engines that this program leaves out (sums in an order that "
                     "changes, or narrower inputs)");
    }
    for (int i = 0; i < CONFIGURATIONS; i++) destroy(c, configuration[i]);
    return done;
}

static cudnnStatus_t make_graph(const graph *g, node *out) {
    const cudnn_functions *f = &g->c->f;
    cudnnStatus_t e = f->cudnnBackendCreateDescriptor(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, out);
    if (!e)
        e = f->cudnnBackendSetAttribute(*out, CUDNN_ATTR_OPERATIONGRAPH_OPS,
                                        CUDNN_TYPE_BACKEND_DESCRIPTOR, g->operations, g->operation);
    if (!e && g->c->handle)
        e = f->cudnnBackendSetAttribute(*out, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE,
                                        1, &g->c->handle);
    return e ? e : f->cudnnBackendFinalize(*out);
}

void graph_end(graph *g, plan *out, plan_rules rules) {
    cudnn *c = g->c;
    node n = NULL;
    *out = (plan){0};
    memcpy(out->why, g->why, sizeof out->why);
    if (!*g->why) {
        cudnnStatus_t e = make_graph(g, &n);
        if (e)
            say(out, c, e, "the graph");
        else if (!try_mode(c, out, n, CUDNN_HEUR_MODE_A, rules) &&
                 !try_mode(c, out, n, CUDNN_HEUR_MODE_FALLBACK, rules) && !*out->why)
            snprintf(out->why, sizeof out->why, "no engine");
    }
    destroy(c, n);
    for (int i = g->nodes; i > 0; i--) destroy(c, g->node[i - 1]);
    g->nodes = 0;
}

const plan *plan_of(stream *s, const void *key, size_t key_bytes, plan_builder *build, plan_rules rules) {
    cudnn *c = stream_cuda(s)->cudnn;
    plan *p = keyed_find(&c->plans, key, key_bytes);
    if (p) return p;
    graph *g = NULL;
    status rc = mem_new(&g, 1, "a graph of cuDNN");
    if (!rc) rc = keyed_add(&c->plans, key, key_bytes, sizeof *p, "a plan of cuDNN", (void **)&p);
    if (rc) {
        stream_fail(s, rc);
    } else {
        char what[sizeof p->what] = "";
        graph_begin(g, c);
        build(g, what, key);
        graph_end(g, p, rules);
        memcpy(p->what, what, sizeof what);
    }
    mem_free(g);
    return p;
}

// --- its run -------------------------------------------------------------------------------------
void plan_tensor(plan_tensors *t, int64_t uid, const void *data) {
    if (t->count == PLAN_TENSORS) die("cuDNN: a run with more than %d tensors", PLAN_TENSORS);
    t->uid[t->count] = uid;
    t->data[t->count++] = (void *)(uintptr_t)data;
}

void plan_run(const plan *p, const plan_tensors *t, void *workspace, stream *s) {
    const cudnn *c = stream_cuda(s)->cudnn;
    const cudnn_functions *f = &c->f;
    node pack = NULL;
    char text[192] = "";
    if (!p) return; // the stream knows why
    if (!p->plan) {
        stream_fail(s, status_fail(STATUS_DEVICE, "cuDNN: %s: %s", p->what, p->why));
        return;
    }
    cudnnStatus_t e = f->cudnnBackendCreateDescriptor(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &pack);
    if (!e)
        e = f->cudnnBackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64,
                                        t->count, t->uid);
    if (!e)
        e = f->cudnnBackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS,
                                        CUDNN_TYPE_VOID_PTR, t->count, t->data);
    if (!e)
        e = f->cudnnBackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE,
                                        CUDNN_TYPE_VOID_PTR, 1, &workspace);
    if (!e) e = f->cudnnBackendFinalize(pack);
    if (!e) e = f->cudnnBackendExecute(c->handle, p->plan, pack);
    if (e) {
        f->cudnnGetLastErrorString(text, sizeof text);
        stream_fail(s, status_fail(STATUS_DEVICE, "cuDNN: %s: %s", p->what,
                                   *text ? text : f->cudnnGetErrorString(e)));
    }
    destroy(c, pack);
}
