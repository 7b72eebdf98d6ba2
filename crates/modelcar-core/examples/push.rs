//! Pushes a model from the Hub or a directory: `push MODEL IMAGE BASE`.
use modelcar_core::push::{Contents, Push};
use modelcar_env::Environment;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, model, image, base] = &args[..] else { return Err("usage: push MODEL IMAGE BASE".into()) };
    let image = image.parse()?;
    let connections = Environment::read()?.connections(Some(&image))?; // tokens, logins, proxies, authorities
    let push = Push::new(Contents::new(model.parse()?).with_base(base.parse()?), image, connections).prepare().await?;
    eprintln!("{} bytes to fetch, {} to send", push.bytes_to_fetch(), push.bytes_to_send()); // nothing has moved yet
    println!("{}", push.run().await?.image); // pinned: …@sha256:…
    Ok(())
}
