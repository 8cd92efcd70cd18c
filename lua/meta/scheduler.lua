---@meta weir.native.scheduler
-- luacheck: ignore 212 241

--- Tasks, scopes, time and waiting. For the library; modules use `ctx` and weir.task.
local M = {}

---@class weir.Task a coroutine that the scheduler drives
local Task = {}

---@class weir.Scope what its tasks cannot outlive
local Scope = {}

---@class weir.Waiter one task waits here for what a callback brings
local Waiter = {}

---@class weir.Deferred a deferred function that can be taken back
local Deferred = {}

---@class weir.TaskInfo
---@field id integer
---@field name string
---@field state "ready"|"running"|"waiting"|"done"
---@field waits_for string|nil of a waiting task
---@field cpu number   seconds, in ticks of 5 ms
---@field age number   seconds since it was made
---@field lane integer 0 is first
---@field bytes integer memory charged to it

-- Time

--- The scheduler's clock in seconds, from an unnamed beginning. Never goes back. Does not wait.
---@return number seconds
function M.now() end

--- The time of day in seconds since 1970. Does not wait.
---@return number seconds
function M.wall() end

--- The time of day in milliseconds since 1970. Does not wait.
---@return integer ms
function M.wall_ms() end

--- Whether the clock is virtual: sleeps jump. Does not wait.
---@return boolean
function M.is_virtual() end

--- Makes the clock virtual. With a seed the order of ready tasks is drawn from it; with a jitter too a task
--- loses the processor after a drawn number of instructions. Does not wait.
---@param seed integer|nil
---@param jitter integer|nil instructions at most, 0 for none
function M.use_virtual_clock(seed, jitter) end

--- Makes the clock real again. Only while nobody sleeps: deadlines do not move over. Does not wait.
function M.use_real_clock() end

--- A float in [0, 1), drawn from the seed. Does not wait.
---@return number
function M.random() end

-- Waiting

--- Lets time pass. Waits; raises `cancelled` or `timeout` when the task is cancelled.
---@param seconds number from 0
function M.sleep(seconds) end

--- Lets other ready tasks run. Waits.
function M.yield() end

--- Whether the caller may wait here: not below a C call that cannot yield, not in `atomic`. Does not wait.
---@return boolean
function M.can_wait() end

--- Raises the cancellation that the running task is under, if any. Does not wait.
function M.check() end

--- Calls a function that keeps the processor and may not wait; gives what it returns.
---@param body fun(...): ...
---@param ... any its arguments
---@return any ...
function M.atomic(body, ...) end

--- Calls a function that may lose the processor between any two instructions, although the library calls it; gives what it
--- returns. It only computes, from what nobody changes meanwhile. Waits.
---@param body fun(...): ...
---@param ... any its arguments
---@return any ...
function M.interruptible(body, ...) end

--- Code of the library in chunks whose names begin so only computes: it may lose the processor where the code that calls it
--- may. Does not wait.
---@param prefix string such as `=weir/text/`
function M.computing(prefix) end

--- The cancellation that the running task is under; nil when there is none. Does not wait.
---@return string|nil code `cancelled`, `timeout`, `failed`, `limit`, `rejected`
---@return string|nil reason
function M.cancelled() end

--- An error as the host raises them: {code, message}, whose tostring is the message. Does not raise it.
---@param code string
---@param message string
---@return { code: string, message: string }
function M.failure(code, message) end

--- To be called where an error was caught at a boundary of the library: it has done its work. Does not wait.
function M.recover() end

-- Tasks

--- Starts a task in the innermost open scope of the caller. Does not wait.
---@param body fun(...)
---@param ... any its arguments
---@return weir.Task
function M.spawn(body, ...) end

--- Starts a task outside of every scope, for what must not end with the caller. Does not wait.
---@param body fun(...)
---@param ... any
---@return weir.Task
function M.spawn_root(body, ...) end

--- Starts a task with a name, a lane (0 first, 1, 2) or in a given scope. Does not wait. Within a lane those of different
--- keys share the processor equally, however many they are; without a key that of the caller's task.
---@param options { name: string?, lane: integer?, scope: weir.Scope?, key: string? }
---@param body fun(...)
---@param ... any
---@return weir.Task
function M.start(options, body, ...) end

--- Every task that has not ended. Does not wait.
---@return weir.TaskInfo[]
function M.tasks() end

--- The running task; nil outside of all. Does not wait.
---@return weir.Task|nil
function M.current() end

--- Waits until the task has ended.
---@param timeout number|nil seconds
---@return boolean|nil ok false and the error when it failed; nil, message, `timeout` when it has not ended in time
---@return any ... its results
function Task:join(timeout) end

--- Cancels: raised where the task waits, and at each later wait. Does not wait.
---@param reason string|nil
---@param code "cancelled"|"timeout"|"failed"|"limit"|"rejected"|nil
function Task:cancel(reason, code) end

--- Does not wait.
---@return "ready"|"running"|"waiting"|"done"
function Task:status() end

--- Does not wait.
---@return weir.TaskInfo
function Task:info() end

--- What the running task works on, inherited from the task that spawned it. Does not wait.
---@return any
function M.context() end

--- Sets what the running task, and those that it spawns from now on, work on. Does not wait.
---@param value any
function M.set_context(value) end

--- A value of the running task, inherited from the task that spawned it. Does not wait.
---@param key any
---@return any
function M.get_local(key) end

--- Sets a value of the running task and of those that it spawns from now on. Does not wait.
---@param key any not nil
---@param value any
function M.set_local(key, value) end

-- Scopes

--- Opens a scope, the innermost of the running task until it is closed. Does not wait.
---@param options { timeout: number?, shield: boolean? }|nil seconds; a shield keeps cancellations out
---@return weir.Scope
function M.open_scope(options) end

--- Cancels every task of the scope and of the scopes in it. Does not wait.
---@param reason string|nil
---@param code "cancelled"|"timeout"|"failed"|"limit"|"rejected"|nil
function Scope:cancel(reason, code) end

--- Waits until every task of the scope has ended; a cancellation does not cut it short.
function Scope:join() end

--- Closes it. Raises while it has tasks, or an inner scope is open. Safe twice. Does not wait.
function Scope:close() end

--- Why it was cancelled, from inside or outside; nil when it was not. Does not wait.
---@return string|nil code
---@return string|nil reason
function Scope:why() end

--- Closes it when nothing runs in it and nothing happened to it. Does not wait.
---@return boolean closed
function Scope:end_quietly() end

--- The first error that a task of the scope ended with; nothing when there was none. Does not wait.
---@return any
function Scope:error() end

--- How many of its tasks have not ended. Does not wait.
---@return integer
function Scope:tasks() end

-- Deferred functions, waiters, callbacks

--- Puts a function on the task's stack of what is to be done at the end. Does not wait.
---@param body fun()
---@return weir.Deferred
function M.defer(body) end

--- How many functions the running task has deferred, and how many scopes it has open. Does not wait.
---@return integer deferred
---@return integer open_scopes
function M.deferred() end

--- The same, where the library is about to call a module; under a seed the next preemption is drawn anew.
---@return integer deferred
---@return integer open_scopes
function M.attempt() end

--- Takes off the last function deferred above the mark; nil when there is none. Does not wait.
---@param mark integer
---@return function|nil
function M.undefer(mark) end

--- Takes the function back: it will not be called. Safe twice. Does not wait.
function Deferred:release() end

--- Does not wait.
---@return weir.Waiter
function M.waiter() end

--- Wakes whoever waits, now or later, with these values. The first wake counts. Does not wait.
---@param ... any
function Waiter:wake(...) end

--- Waits for `wake`.
---@param what string|nil what it is for, shown in the list of tasks
---@param timeout number|nil seconds
---@return any ... the values; or nil, message, `timeout`
function Waiter:wait(what, timeout) end

--- Makes a function that luv may call: it runs as a task of the scope that is open now. Does not wait.
---@param body fun(...)
---@return fun(...)
function M.bind(body) end

-- The host's own needs

--- Does not wait.
---@return { tasks: integer, preemptions: integer, memory_bytes: integer, timers: integer, resumes: integer }
function M.stats() end

--- Sets the limits of memory; nil leaves one as it is. Does not wait.
---@param task_bytes integer|nil  of one task
---@param state_bytes integer|nil of the whole Lua state
function M.limit_memory(task_bytes, state_bytes) end

return M
