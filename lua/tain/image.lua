--- Pictures: red, green and blue, 8 bits each.

local ffi = require "ffi"
local check = require "tain.check"
local files = require "tain.files"
local own = require "tain.own"

local C = ffi.C
local image = {}

--- @class Image
local Image = {}
Image.__index = function(_, name)
  local method = Image[name]
  if method == nil then
    check.raise("an image has no %s%s", tostring(name), check.suggest(name, Image))
  end
  return method
end
Image.__metatable = false
image.class = Image

local filters = check.names {
  { "bilinear", C.TAIN_BILINEAR }, { "bicubic", C.TAIN_BICUBIC }, { "lanczos", C.TAIN_LANCZOS },
}

--- Makes an image of a new reference from C; raises the core's sentence if there is none.
---
--- @return Image
function image.adopt(handle)
  check.made(handle)
  return own.adopt(setmetatable({}, Image), handle, C.tain_image_free, "image")
end

--- Reads a PNG, JPEG or binary PPM file: `tain.image(path)`. With two numbers it makes a black image.
---
--- @param path string|integer the file, or the width
--- @param height? integer
--- @return Image
function image.image(path, height)
  if height ~= nil then
    return image.adopt(C.tain_image_create(check.int32("image", "width", path),
      check.int32("image", "height", height)))
  end
  return image.adopt(C.tain_image_read(check.string("image", "path", path)))
end

--- Reads the content of a PNG, JPEG or binary PPM file.
---
--- @param text string
--- @param name? string begins the message when it is refused
--- @return Image
function image.decode(text, name)
  return image.adopt(C.tain_image_decode(name or "image", text, #text))
end

local function handle(fn, self)
  return check.object(fn, "image", self, "image")
end

--- @return integer width
--- @return integer height
function Image:size()
  local h = handle("size", self)
  return C.tain_image_width(h), C.tain_image_height(h)
end

--- The bytes [height, width, 3], to be read or written while the image lives. For tain's own modules.
---
--- @return ffi.cdata* uint8_t *
function Image:pixels()
  return C.tain_image_pixels(handle("pixels", self))
end

--- One pixel.
---
--- @param x integer from 0, to the right
--- @param y integer from 0, downwards
--- @return integer red
--- @return integer green
--- @return integer blue
function Image:pixel(x, y)
  local width, height = self:size()
  check.integer("pixel", "x", x, 0, width - 1)
  check.integer("pixel", "y", y, 0, height - 1)
  local p = self:pixels() + 3 * (y * width + x)
  return p[0], p[1], p[2]
end

--- Fills it from a tensor [height, width, 3].
---
--- @param x Tensor
--- @param low? number what becomes black, default -1
--- @param high? number what becomes white, default 1
--- @return Image self
function Image:fill(x, low, high)
  local h, t = handle("fill", self), check.tensor("fill", "x", x)
  local count = tonumber(C.tain_tensor_count(t))
  local values = ffi.new("float[?]", count + 1)
  check.status(C.tain_tensor_read(t, values, count))
  check.status(C.tain_image_fill(h, values, count, low or -1, high or 1))
  return self
end

--- Writes a file, atomically.
---
--- @param path string ends with .png or .ppm
function Image:save(path)
  check.status(C.tain_image_write(handle("save", self), check.string("save", "path", path)))
end

--- The content of a PNG file. Equal pixels give equal bytes.
---
--- @return string
function Image:png()
  return files.take(C.tain_image_png(handle("png", self)))
end

--- The same in another size, as Pillow does it.
---
--- @param width integer
--- @param height integer
--- @param filter? string "bicubic" (default), "bilinear" or "lanczos"
--- @return Image
function Image:resize(width, height, filter)
  return image.adopt(C.tain_image_resize(handle("resize", self),
    check.int32("resize", "width", width), check.int32("resize", "height", height),
    check.enum("resize", "filter", filter or "bicubic", filters)))
end

--- Frees it now instead of when the collector gets to it.
function Image:free()
  own.free(self, C.tain_image_free, "free")
end

function Image:__tostring()
  if own.handle(self) == nil then return "image, freed" end
  return ("image of %d x %d"):format(self:size())
end

--- Puts images of one size side by side, row by row.
---
--- @param images Image[]
--- @param options? table columns (default all in one row), border (pixels, 2), colour (0xFFFFFF)
--- @return Image
function image.grid(images, options)
  check.table("grid", "images", images)
  options = check.options("grid", options, {
    columns = { "integer", min = 1, default = math.max(1, #images) },
    border = { "integer", min = 0, max = 1024, default = 2 },
    colour = { "integer", min = 0, max = 0xFFFFFF, default = 0xFFFFFF },
  })
  local list = ffi.new("tain_image *[?]", math.max(1, #images))
  for i, one in ipairs(images) do
    list[i - 1] = check.object("grid", ("images[%d]"):format(i), one, "image")
  end
  return image.adopt(C.tain_image_tile(ffi.cast("tain_image *const *", list), #images,
    options.columns, options.border, options.colour))
end

return image
