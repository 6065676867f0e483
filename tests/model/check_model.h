/* check_model.h - small models of recorded runs, for the tests of core/model. */
#ifndef TAIN_CHECK_MODEL_H
#define TAIN_CHECK_MODEL_H

#include "check.h"

#include "model/janus.h"

/* The model of a config.json, or of a golden run's, with these weights. */
static inline void open_model(tain_device *d, struct janus *m, const char *config, const char *weights, tain_type storage)
{
    struct json *root = json_read(config, 1 << 20);
    struct st_file *f = st_open(weights);
    struct janus_config c;

    CHECK(root && f);
    CHECK_INT(janus_config_read(&c, root), 0);
    memset(m, 0, sizeof(*m));
    CHECK_INT(janus_open(m, d, &c), 0);
    CHECK_INT(weights_load(&m->weights, f, storage), 0);
    st_close(f);
    json_free(root);
}

/* Of tests/golden/janus; weights NULL: the run's own. */
static inline void open_golden(tain_device *d, struct janus *m, const char *name, const char *weights, tain_type storage)
{
    char config[128], own[128];

    snprintf(config, sizeof(config), "tests/golden/janus/%s.json", name);
    snprintf(own, sizeof(own), "tests/golden/janus/%s.weights.safetensors", name);
    open_model(d, m, config, weights ? weights : own, storage);
}

#endif
