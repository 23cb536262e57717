mod model;
mod net;
mod screen;
