//! Pushes a model from the Hub or a directory: `push MODEL IMAGE BASE`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program answers")]
use modelcar_core::push::{ModelContents, Push};
use modelcar_env::Environment;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [model, image, base] = &std::env::args().skip(1).collect::<Vec<_>>()[..] else { return Err("usage".into()) };
    let (image, contents) = (image.parse()?, ModelContents::new(model.parse()?).with_base(base.parse()?));
    let connections = Environment::read()?.connections(Some(&image))?; // tokens, logins, proxies, authorities
    let push = Push::new(contents, image, connections).prepare().await?; // no weights have moved yet
    eprintln!("{} bytes to fetch, {} to send", push.bytes_to_fetch(), push.bytes_to_send());
    println!("{}", push.run().await?.image); // pinned: …@sha256:…
    Ok(())
}
