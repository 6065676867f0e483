/* modules.c - where `require` finds tain's own modules: inside the program, as bytecode.
 *
 * TAIN_LUA=lua reads lua/tain/….lua instead where such a file exists, so that a module can be
 * worked on without building.
 */
#include "host/host.h"

#include "base/base.h"

#include <lauxlib.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Pushes the loader of TAIN_LUA/tain/x.lua; returns false if there is no such file. */
static bool load_file(lua_State *L, const char *folder, const char *name, const char *chunk)
{
    const char *path = lua_pushfstring(L, "%s/%s.lua", folder, luaL_gsub(L, name, ".", "/"));
    luaL_Buffer text;
    FILE *file = fopen(path, "r");
    size_t n;

    if (!file)
        return false;
    luaL_buffinit(L, &text);
    do {
        n = fread(luaL_prepbuffer(&text), 1, LUAL_BUFFERSIZE, file);
        luaL_addsize(&text, n);
    } while (n > 0);
    fclose(file);
    luaL_pushresult(&text);
    if (luaL_loadbuffer(L, lua_tostring(L, -1), lua_objlen(L, -1), chunk))
        lua_error(L);
    return true;
}

static int search(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    const char *folder = getenv("TAIN_LUA");
    const char *chunk;

    if (strncmp(name, "tain.", 5))
        return 0;
    chunk = lua_pushfstring(L, "=%s.lua", luaL_gsub(L, name, ".", "/"));
    if (folder && load_file(L, folder, name, chunk))
        return 1;
    for (const struct host_module *m = host_modules; m->name; m++) {
        if (!strcmp(m->name, name)) {
            if (luaL_loadbuffer(L, (const char *)m->code, m->size, chunk))
                return lua_error(L);
            return 1;
        }
    }
    lua_pushfstring(L, "\n\tno module '%s' inside tain", name);
    return 1;
}

static int modules(lua_State *L)
{
    int n = 0;

    lua_newtable(L);
    for (const struct host_module *m = host_modules; m->name; m++) {
        lua_pushstring(L, m->name);
        lua_rawseti(L, -2, ++n);
    }
    return 1;
}

/* interrupted(loop): how often the user asked to stop; `loop` is true where a loop looks each time round. */
static int interrupted(lua_State *L)
{
    if (lua_toboolean(L, 1))
        host_signals_looked();
    if (base_interrupted)
        alarm(0); /* it was seen; see signal.c */
    lua_pushinteger(L, base_interrupted);
    return 1;
}

/* forget(seconds): goes on after Ctrl-C; see host.h */
static int forget(lua_State *L)
{
    host_signals_forget(luaL_checknumber(L, 1));
    return 0;
}

static int seconds(lua_State *L)
{
    lua_pushnumber(L, base_seconds());
    return 1;
}

static int wall(lua_State *L)
{
    lua_pushnumber(L, base_wall_seconds());
    return 1;
}

/* The folder the program lies in. */
static void push_folder(lua_State *L, const char *program)
{
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
    const char *slash;

    if (n < 0)
        n = snprintf(path, sizeof(path), "%s", program);
    path[n] = 0;
    slash = strrchr(path, '/');
    if (slash)
        lua_pushlstring(L, path, (size_t)(slash - path));
    else
        lua_pushliteral(L, ".");
}

static int open_host(lua_State *L)
{
    static const luaL_Reg functions[] = {
        { "modules", modules },
        { "interrupted", interrupted },
        { "seconds", seconds },
        { "wall", wall },
        { "forget", forget },
        { NULL, NULL },
    };

    lua_newtable(L);
    luaL_register(L, NULL, functions);
    host_terminal_open(L);
    host_edit_open(L);
    lua_pushliteral(L, TAIN_VERSION);
    lua_setfield(L, -2, "version");
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_setfield(L, -2, "folder");
    return 1;
}

void host_modules_open(lua_State *L, const char *program)
{
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "loaders");
    for (int i = (int)lua_objlen(L, -1); i >= 2; i--) { /* before files, after preload */
        lua_rawgeti(L, -1, i);
        lua_rawseti(L, -2, i + 1);
    }
    lua_pushcfunction(L, search);
    lua_rawseti(L, -2, 2);
    lua_pop(L, 1);
    lua_getfield(L, -1, "preload");
    push_folder(L, program);
    lua_pushcclosure(L, open_host, 1);
    lua_setfield(L, -2, "tain.host");
    lua_pop(L, 2);
}
