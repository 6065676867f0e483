/* main.c - opens a Lua state, hands the command line to lua/tain/main.lua, closes.
 *
 * Closing matters: finalizers give back what recipes still hold, in no useful order, which the
 * core's reference counts allow.
 */
#include "host/host.h"

#include "base/base.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <unistd.h>

struct arguments {
    int count;
    char **values;
    int code;
};

static int run(lua_State *L)
{
    struct arguments *a = lua_touserdata(L, 1);

    luaL_openlibs(L);
    host_modules_open(L, a->values[0]);
    lua_getglobal(L, "require");
    lua_pushliteral(L, "tain.main");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "run");
    lua_newtable(L);
    for (int i = 1; i < a->count; i++) {
        lua_pushstring(L, a->values[i]);
        lua_rawseti(L, -2, i);
    }
    lua_call(L, 1, 1);
    a->code = (int)lua_tointeger(L, -1);
    return 0;
}

int main(int argc, char **argv)
{
    struct arguments a = { argc, argv, 1 };
    lua_State *L = luaL_newstate();

    if (!L) {
        fprintf(stderr, "tain: out of memory\n");
        return 1;
    }
    if (base_faults_open()) {
        fprintf(stderr, "tain: %s\n", tain_error());
        return 2;
    }
    host_signals_open(L);
    if (lua_cpcall(L, run, &a)) {
        const char *message = lua_tostring(L, -1);
        fprintf(stderr, "tain: %s\n", message ? message : "an error that is not a string");
        a.code = 1;
    }
    host_signals_close();
    if (host_signals_latest()) { /* then the CPU driver was seen to wait for itself when its device is closed */
        fflush(NULL);
        _exit(a.code);
    }
    lua_close(L);
    return a.code;
}
