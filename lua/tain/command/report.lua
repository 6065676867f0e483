--- tain report: one page about a run, or about several side by side.

local fail = require "tain.fail"
local files = require "tain.files"

return {
  usage = "RUN …",
  about = "one page with pictures, numbers and what they mean; several runs side by side (--out FILE)",
  run = function(arguments)
    local folders, out, i = {}, nil, 1
    while i <= #arguments do
      if arguments[i] == "--out" then
        i = i + 1
        out = arguments[i]
        if not out then return fail("--out needs a file") end
      elseif arguments[i]:find "^%-" then
        return fail("report has no option %s", arguments[i])
      else
        local folder = arguments[i]:gsub("(.)/+$", "%1")
        if not files.exists(folder .. "/run.json") and not files.exists(folder .. "/events.jsonl") then
          return fail("%s is not the folder of a run: it has no run.json", folder)
        end
        folders[#folders + 1] = folder
      end
      i = i + 1
    end
    if #folders == 0 then return fail("report takes the folder of a run") end
    local report = require "tain.report"
    out = out or (#folders == 1 and folders[1] .. "/report.html" or "runs.html")
    files.write(out, #folders == 1 and report.page(folders[1]) or report.compare(folders))
    print(out)
  end,
}
