-- Tests 71 and 77, threat T24: what a sandbox cannot do, and that it refuses to begin where it could.
local attacks = dofile "spec/lua/weir/sandbox/attacks.lua"
local paths = require "weir.paths"
local process = require "weir.port.process"
local sandbox = require "weir.sandbox"
local uv = require "luv"

local PROGRAM = paths.natives .. "/weir_sandbox"
local SOURCE = "return { execute = function() return 1 end }"
local CALLS = { brk = true, clock_gettime = true, exit = true, exit_group = true, futex = true, madvise = true, mmap = true, mremap = true,
  munmap = true, read = true, restart_syscall = true, rt_sigreturn = true, write = true }

--- Has `sandbox.run` start a script instead of the program, while a function runs.
local function with_program(script, body)
  local natives, folder = paths.natives, assert(uv.fs_mkdtemp "/tmp/weir-sandbox-XXXXXX")
  local file = assert(io.open(folder .. "/weir_sandbox", "wb"))
  file:write("#!/bin/sh\n", script, "\n")
  file:close()
  uv.fs_chmod(folder .. "/weir_sandbox", tonumber("700", 8))
  paths.natives = folder
  local ok, err = pcall(body, folder)
  paths.natives = natives
  for name in uv.fs_scandir_next, uv.fs_scandir(folder) do uv.fs_unlink(folder .. "/" .. name) end
  uv.fs_rmdir(folder)
  if not ok then error(err, 0) end
end

local function without(call, err, body)
  with_program(("exec '%s/sandbox_without' %s %d '%s' \"$@\""):format(paths.natives, call, err, PROGRAM), body)
end

describe("the sandbox's walls", function()
  it("are tried before anything is read: 36 calls are refused, Landlock holds", function()
    local result = assert(sandbox.run { name = "work", source = SOURCE })
    assert.equal(36, result.refused)
    assert.is_true(result.landlock >= 1)
  end)

  it("have to stand: without one of them nothing runs", function()
    for call, words in pairs { landlock_create_ruleset = "Landlock", landlock_restrict_self = "Landlock", seccomp = "seccomp",
      capset = "capabilities", close_range = "descriptors", prlimit64 = "limit", prctl = "memory stays readable" } do
      without(call, 38, function()
        local output, message, code = sandbox.run { name = "work", source = SOURCE }
        assert.is_nil(output)
        assert.equal("unavailable", code, call)
        assert.match(words, message, 1, true, call)
      end)
    end
  end)

  it("have to stand indeed: a system that only claims to have set one runs nothing", function()
    for _, call in ipairs { "landlock_restrict_self", "capset", "prlimit64", "prctl", "seccomp", "landlock_create_ruleset" } do
      without(call, 0, function()
        local output, message, code = sandbox.run { name = "work", source = SOURCE }
        assert.is_nil(output)
        assert.equal("unavailable", code, ("%s: %s"):format(call, message))
      end)
    end
  end)

  it("leave it no variable of the environment and three descriptors", function()
    with_program(([[
env > "${0%%/*}/seen" 2>/dev/null || /usr/bin/env > "${0%%/*}/seen"
ls -l /proc/self/fd | wc -l >> "${0%%/*}/seen"
exec '%s' "$@"]]):format(PROGRAM), function(folder)
      assert(sandbox.run { name = "work", source = SOURCE })
      local file = assert(io.open(folder .. "/seen", "rb"))
      local text = file:read "a"
      file:close()
      for name in text:gmatch "(%u[%w_]*)=" do assert.is_true(name == "PWD" or name == "_" or name == "SHLVL" or name == "OLDPWD", name) end
    end)
  end)

  it("refuse arguments that are no limits", function()
    for _, args in ipairs { {}, { "1" }, { "0", "268435456" }, { "1", "1024" }, { "x", "268435456" }, { "-1", "268435456" } } do
      local result = assert(process.run { PROGRAM, table.unpack(args) })
      assert.equal(2, result.status)
      assert.match("usage", result.stderr)
    end
  end)

  it("end quietly when nobody asks for anything", function()
    local result = assert(process.run { PROGRAM, "1", "268435456" })
    assert.equal(0, result.status)
    assert.match("ready", result.stdout, 1, true)
  end)

  it("leave it no more than thirteen system calls, whatever a script does", function()
    if process.run { "strace", "-V" } == nil then return pending "strace is not installed (apt-get install strace)" end
    local every = os.getenv "WEIR_SANDBOX_STRACE" and 1 or 12 -- of the corpus; all of it by night
    with_program(([[exec strace -qq -o "${0%%/*}/trace.$$" '%s' "$@"]]):format(PROGRAM), function(folder)
      for index, attack in ipairs(attacks) do
        if index % every == 0 then
          sandbox.run { name = "attack", limits = { cpu_seconds = 1, seconds = 120 },
            source = attack.options.source or ("return { execute = function(ctx, input) %s\nend }"):format(attack.body),
            grants = attack.options.grants and { granted = function(argument) return argument end } or nil }
        end
      end
      local seen = 0
      for name in uv.fs_scandir_next, uv.fs_scandir(folder) do
        if name:find "^trace" then
          local is_locked, locks = false, 0
          for line in io.lines(folder .. "/" .. name) do
            local call = line:match "^([%w_]+)%("
            if is_locked and call and not CALLS[call] then error(name .. ": " .. line) end
            if call == "seccomp" and line:find "SECCOMP_SET_MODE_FILTER, 0, {.*= 0$" then locks = locks + 1 end
            is_locked = locks == 2
          end
          if is_locked then seen = seen + 1 end
        end
      end
      assert.is_true(seen > 0, "no trace reached the second filter")
    end)
  end)
end)
