--- Where a project begins. Small, since every command asks it before anything else is loaded.

local system = require "weir.port.system"

local M = {}

local MARKS = { "/weir.lua", "/modules", "/.weir" }

local function is_project(folder)
  for _, mark in ipairs(MARKS) do
    if system.exists(folder .. mark) then return true end
  end
  return false
end

--- The nearest project folder at or above a folder; the folder itself when there is none. Does not wait.
---@param folder string
---@return string
function M.find(folder)
  if folder:sub(1, 1) ~= "/" then folder = system.working_folder() .. "/" .. folder end
  if folder:find "/%.%.?/" or folder:find "/%.%.?$" then folder = system.real_path(folder) or folder end
  local start = folder:gsub("/+$", "")
  local here = start
  while here ~= "" do
    if is_project(here) then return here end
    here = here:match "^(.*)/[^/]*$" or ""
  end
  return start
end

return M
